//! What a request asks for of a file that is there (RFC 9110, sections 13 and 14). Pure.

use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, NaiveDateTime, Utc};
use hyper::HeaderMap;
use hyper::header::{
    HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};

/// What a file is known again by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Validators {
    pub(super) size: u64,
    /// Seconds and nanoseconds since 1970.
    pub(super) changed: (i64, u32),
    pub(super) inode: u64,
}

/// What is sent of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// 200
    Whole,
    /// 206; no byte of it lies behind the end, and there is one.
    Part(Range<u64>),
    /// 304
    Known,
    /// 412
    Changed,
    /// 416
    Beyond,
}

impl Validators {
    /// A strong one: a file that is written in place changes its time.
    pub(super) fn etag(&self) -> String {
        let (seconds, nanoseconds) = self.changed;
        format!(
            "\"{:x}-{seconds:x}.{nanoseconds:x}-{:x}\"",
            self.size, self.inode
        )
    }

    pub(super) fn last_modified(&self) -> Option<String> {
        http_date(self.changed.0)
    }

    /// What a request's headers ask for, in the order of section 13.2.2.
    pub(super) fn wanted(&self, headers: &HeaderMap, now: SystemTime) -> Wanted {
        if headers.is_empty() {
            return Wanted::Whole;
        }
        let said = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let date = |name| said(name).and_then(parse_date);
        if headers.contains_key(IF_MATCH) {
            if !self.is_in(headers, &IF_MATCH, false) {
                return Wanted::Changed;
            }
        } else if date(IF_UNMODIFIED_SINCE).is_some_and(|date| self.changed.0 > date) {
            return Wanted::Changed;
        }
        if headers.contains_key(IF_NONE_MATCH) {
            if self.is_in(headers, &IF_NONE_MATCH, true) {
                return Wanted::Known;
            }
        } else if date(IF_MODIFIED_SINCE).is_some_and(|date| self.changed.0 <= date) {
            return Wanted::Known;
        }
        match said(RANGE) {
            Some(range) if self.is_still(said(IF_RANGE), now) => self.range(range),
            _ => Wanted::Whole,
        }
    }

    /// Whether a list of ETags has this one, or is `*`.
    fn is_in(&self, headers: &HeaderMap, name: &HeaderName, weak: bool) -> bool {
        let own = self.etag();
        let lists = headers.get_all(name).iter();
        let mut tags = lists
            .filter_map(|list| list.to_str().ok())
            .flat_map(|list| list.split(',').map(str::trim));
        tags.any(|tag| {
            let bare = tag.strip_prefix("W/").filter(|_| weak).unwrap_or(tag);
            tag == "*" || bare == own
        })
    }

    /// Whether a part of what the client has is a part of this. A time is no proof while its second is not over.
    fn is_still(&self, if_range: Option<&str>, now: SystemTime) -> bool {
        let Some(said) = if_range else {
            return true;
        };
        let said = said.trim();
        if said.starts_with('"') || said.starts_with("W/") {
            return said == self.etag();
        }
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        parse_date(said) == Some(self.changed.0) && self.changed.0 < now as i64
    }

    /// One range; several, and what makes no sense, are not looked at.
    fn range(&self, text: &str) -> Wanted {
        let Some(spec) = text.trim().strip_prefix("bytes=").map(str::trim) else {
            return Wanted::Whole;
        };
        let Some((first, last)) = spec.split_once('-') else {
            return Wanted::Whole;
        };
        let number = |text: &str| -> Option<u64> {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            // What is longer lies behind the end of any file.
            is_number.then(|| text.parse().unwrap_or(u64::MAX))
        };
        let range = match (number(first), number(last), first, last) {
            (Some(first), Some(last), ..) if first <= last => first..last.saturating_add(1),
            (Some(first), None, _, "") => first..u64::MAX,
            (None, Some(0), "", _) => return Wanted::Beyond,
            (None, Some(count), "", _) => self.size.saturating_sub(count)..self.size,
            _ => return Wanted::Whole,
        };
        let range = range.start..range.end.min(self.size);
        if range.is_empty() {
            return Wanted::Beyond;
        }
        Wanted::Part(range)
    }
}

/// Seconds since 1970 as HTTP has them (section 5.6.7); `None`: a time beyond all calendars.
pub(super) fn http_date(seconds: i64) -> Option<String> {
    let time: DateTime<Utc> = DateTime::from_timestamp(seconds, 0)?;
    Some(time.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

/// The same, read: as it is written today, and in the two forms that are older.
pub(super) fn parse_date(text: &str) -> Option<i64> {
    let forms = [
        "%a, %d %b %Y %H:%M:%S GMT",
        "%A, %d-%b-%y %H:%M:%S GMT",
        "%a %b %e %H:%M:%S %Y",
    ];
    let mut read = forms
        .iter()
        .map(|form| NaiveDateTime::parse_from_str(text.trim(), form));
    read.find_map(Result::ok)
        .map(|time| time.and_utc().timestamp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: Validators = Validators {
        size: 100,
        changed: (784_111_777, 5),
        inode: 7,
    };

    fn wanted(headers: &[(HeaderName, &str)]) -> Wanted {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value.parse().unwrap());
        }
        FILE.wanted(&map, SystemTime::now())
    }

    #[test]
    fn a_date_is_read_in_its_three_forms() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse_date(text), Some(784_111_777), "{text}");
        }
        assert_eq!(parse_date("yesterday"), None);
        assert_eq!(
            http_date(784_111_777).unwrap(),
            "Sun, 06 Nov 1994 08:49:37 GMT"
        );
        assert_eq!(http_date(i64::MAX), None);
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        let (etag, date) = (FILE.etag(), FILE.last_modified().unwrap());
        let weak = format!("\"x\", W/{etag}");
        for (header, value) in [
            (IF_NONE_MATCH, etag.as_str()),
            (IF_NONE_MATCH, "*"),
            (IF_NONE_MATCH, &weak),
            (IF_MODIFIED_SINCE, &date),
        ] {
            assert_eq!(wanted(&[(header, value)]), Wanted::Known, "{value}");
        }
        assert_eq!(
            wanted(&[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, &date)]),
            Wanted::Whole
        );
        assert_eq!(
            wanted(&[(IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT")]),
            Wanted::Whole
        );
        assert_eq!(wanted(&[(IF_MATCH, "\"x\"")]), Wanted::Changed);
        assert_eq!(wanted(&[(IF_MATCH, &format!("W/{etag}"))]), Wanted::Changed);
        assert_eq!(
            wanted(&[(IF_UNMODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT")]),
            Wanted::Changed
        );
        assert_eq!(
            wanted(&[(IF_MATCH, &etag), (IF_UNMODIFIED_SINCE, &date)]),
            Wanted::Whole
        );
    }

    #[test]
    fn one_range_is_a_part_and_anything_else_is_not() {
        for (range, expected) in [
            ("bytes=0-9", Wanted::Part(0..10)),
            ("bytes=90-", Wanted::Part(90..100)),
            ("bytes=-10", Wanted::Part(90..100)),
            ("bytes=-1000", Wanted::Part(0..100)),
            ("bytes=99-999", Wanted::Part(99..100)),
            ("bytes=0-99999999999999999999999", Wanted::Part(0..100)),
            ("bytes=100-", Wanted::Beyond),
            ("bytes=-0", Wanted::Beyond),
            ("bytes=9-0", Wanted::Whole),
            ("bytes=0-1,5-6", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
        ] {
            assert_eq!(wanted(&[(RANGE, range)]), expected, "{range}");
        }
        let (etag, date) = (FILE.etag(), FILE.last_modified().unwrap());
        for (value, expected) in [
            (etag.as_str(), Wanted::Part(0..1)),
            (&date, Wanted::Part(0..1)),
            ("\"x\"", Wanted::Whole),
            (&format!("W/{etag}"), Wanted::Whole),
            ("Sun, 06 Nov 1994 08:49:38 GMT", Wanted::Whole),
        ] {
            assert_eq!(
                wanted(&[(RANGE, "bytes=0-0"), (IF_RANGE, value)]),
                expected,
                "{value}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_range_leads_out_of_the_file(text in "bytes=[0-9]{0,22}-?[0-9]{0,22}", size in 0..1000_u64) {
            let file = Validators { size, ..FILE };
            if let Wanted::Part(range) = file.range(&text) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
        }
    }
}
