//! Texts that are many and seldom looked at, compressed: definitions of tables resemble each other.

use std::ops::Deref;
use std::sync::{Arc, Weak};

use zstd::bulk::{Compressor, decompress};

use crate::sync::Mutex;

/// So many bytes of texts are compressed together: fewer compress less well, and more take longer for each that is read.
pub(super) const PAGE: usize = 16 * 1024;

/// So many pages stay unpacked. Texts are read in order, by some sessions at a time, and each of these has two or three
/// places in the order.
const OPEN: usize = 16;

/// Fewer bytes than this are not worth it.
const SHORT: usize = 512;

/// Zstandard's own default is 3; 1 is faster, and with so much that is the same not worse.
const LEVEL: i32 = 1;

/// Texts one after the other, and where each of them ends.
#[derive(Debug, Default)]
struct Texts {
    text: String,
    ends: Vec<u32>,
}

/// One of a page's texts.
#[derive(Debug, Clone)]
pub(in crate::store::postgresql) struct Text {
    texts: Arc<Texts>,
    start: usize,
    end: usize,
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        &self.texts.text[self.start..self.end]
    }
}

/// The pages that were unpacked last; the next one takes the place of the oldest.
#[derive(Debug, Default)]
struct Recent(Mutex<(usize, Vec<Arc<Texts>>)>);

impl Recent {
    fn keep(&self, texts: &Arc<Texts>) {
        let mut recent = self.0.lock();
        let (next, kept) = &mut *recent;
        if kept.len() < OPEN {
            kept.push(texts.clone());
        } else {
            kept[*next] = texts.clone();
            *next = (*next + 1) % OPEN;
        }
    }
}

/// A page of texts.
#[derive(Debug)]
pub(super) struct Packed(Form);

#[derive(Debug)]
enum Form {
    Plain(Arc<Texts>),
    Compressed {
        /// The text, and then the ends, four bytes each.
        bytes: Box<[u8]>,
        /// How long the text is, and how many ends there are.
        length: usize,
        count: usize,
        open: Mutex<Weak<Texts>>,
        recent: Arc<Recent>,
    },
}

impl Packed {
    /// These texts as they are.
    pub(super) fn plain(texts: &[&str]) -> Self {
        let mut all = Texts::default();
        for text in texts {
            all.add(text);
        }
        Self(Form::Plain(Arc::new(all)))
    }

    /// The text of this place.
    pub(super) fn text(&self, place: usize) -> Text {
        let texts = self.texts();
        let end_of = |place: usize| texts.ends[place] as usize;
        let (start, end) = (place.checked_sub(1).map_or(0, end_of), end_of(place));
        Text { texts, start, end }
    }

    fn texts(&self) -> Arc<Texts> {
        let (bytes, length, count, open, recent) = match &self.0 {
            Form::Plain(texts) => return texts.clone(),
            Form::Compressed {
                bytes,
                length,
                count,
                open,
                recent,
            } => (bytes, *length, *count, open, recent),
        };
        let mut open = open.lock();
        if let Some(texts) = open.upgrade() {
            return texts;
        }
        let texts = Arc::new(Texts::unpacked(bytes, length, count));
        *open = Arc::downgrade(&texts);
        recent.keep(&texts);
        texts
    }
}

impl Texts {
    fn add(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len() as u32);
    }

    fn unpacked(bytes: &[u8], length: usize, count: usize) -> Self {
        let mut text = decompress(bytes, length + 4 * count).expect("it was compressed here");
        let ends = text[length..].chunks_exact(4);
        let ends = ends.map(|end| u32::from_le_bytes([end[0], end[1], end[2], end[3]]));
        let ends = ends.collect();
        text.truncate(length);
        Self {
            text: String::from_utf8(text).expect("it was a text"),
            ends,
        }
    }
}

/// Puts texts into pages.
#[derive(Default)]
pub(super) struct Packer {
    texts: Texts,
    compressor: Option<Compressor<'static>>,
    recent: Arc<Recent>,
}

impl Packer {
    /// Takes in a text.
    pub(super) fn add(&mut self, text: &str) {
        self.texts.add(text);
    }

    /// How many bytes the page has that is open, ends included.
    pub(super) fn length(&self) -> usize {
        self.texts.text.len() + 4 * self.texts.ends.len()
    }

    /// The page that was open.
    pub(super) fn close(&mut self) -> Packed {
        let mut texts = std::mem::take(&mut self.texts);
        let (length, count) = (texts.text.len(), texts.ends.len());
        let ends = texts.ends.iter().flat_map(|end| end.to_le_bytes());
        let mut whole = std::mem::take(&mut texts.text).into_bytes();
        whole.extend(ends);
        let Some(bytes) = self.compressed(&whole) else {
            whole.truncate(length);
            texts.text = String::from_utf8(whole).expect("it was a text");
            return Packed(Form::Plain(Arc::new(texts)));
        };
        Packed(Form::Compressed {
            bytes,
            length,
            count,
            open: Mutex::default(),
            recent: self.recent.clone(),
        })
    }

    /// `None`: it is not worth it, or there is no room for it.
    fn compressed(&mut self, whole: &[u8]) -> Option<Box<[u8]>> {
        if whole.len() < SHORT {
            return None;
        }
        if self.compressor.is_none() {
            self.compressor = Compressor::new(LEVEL).ok();
        }
        let bytes = self.compressor.as_mut()?.compress(whole).ok()?;
        Some(Box::from(bytes.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_of_more_pages_than_stay_open_come_out_as_they_went_in() {
        let mut packer = Packer::default();
        let pages: Vec<Packed> = (0..3 * OPEN)
            .map(|page| {
                for place in 0..100 {
                    packer.add(&format!("CREATE TABLE größe_{page}_{place} (id bigint);"));
                }
                packer.close()
            })
            .collect();
        for round in [0..pages.len(), 5..9, 0..pages.len()] {
            for page in round {
                for place in [99, 0, 50] {
                    let expected = format!("CREATE TABLE größe_{page}_{place} (id bigint);");
                    assert_eq!(&*pages[page].text(place), expected);
                }
            }
        }
        assert!(packer.recent.0.lock().1.len() <= OPEN);
    }

    #[test]
    fn definitions_that_resemble_each_other_take_a_tenth_of_their_length() {
        let mut packer = Packer::default();
        for table in 0.. {
            if packer.length() > PAGE {
                break;
            }
            packer.add(&format!(
                "CREATE TABLE public.small_{table} (\n    id integer NOT NULL,\n    name text NOT NULL,\n    amount numeric\n);\n\n\n"
            ));
            packer.add("");
        }
        let length = packer.length();
        let Form::Compressed { bytes, .. } = packer.close().0 else {
            panic!("it is plain");
        };
        assert!(bytes.len() * 10 < length, "{} of {length}", bytes.len());
    }

    proptest! {
        #[test]
        fn any_texts_come_out_as_they_went_in(texts in proptest::collection::vec(any::<String>(), 0..40)) {
            let mut packer = Packer::default();
            for text in &texts {
                packer.add(text);
            }
            let all: Vec<&str> = texts.iter().map(String::as_str).collect();
            for page in [packer.close(), Packed::plain(&all)] {
                for (place, text) in texts.iter().enumerate() {
                    prop_assert_eq!(&*page.text(place), text);
                }
            }
        }
    }
}
