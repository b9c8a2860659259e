//! What a column can look like, and how sure that is.

use std::fmt;

/// What a column looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// E-mail addresses.
    Email,
    /// Telephone numbers.
    Phone,
    /// Numbers of bank accounts.
    Iban,
    /// Numbers of credit cards.
    Card,
    /// IP addresses.
    Ip,
    /// Hardware addresses.
    Mac,
    /// Postcodes.
    Postcode,
    /// Numbers that a state or an insurer gives a person.
    NationalNumber,
    /// First and last names.
    FullName,
    /// First names.
    FirstName,
    /// Last names.
    LastName,
    /// Names that people log in with.
    Username,
    /// Streets and house numbers.
    Street,
    /// Towns.
    City,
    /// Companies.
    Company,
    /// Dates of birth and of death.
    BirthDate,
    /// Where somebody is.
    Location,
    /// Pages of or about a person.
    Url,
    /// Sex, religion, health, income and the like.
    Trait,
    /// Pictures, signatures, fingerprints.
    Picture,
    /// Devices and browsers.
    Device,
    /// Passwords, tokens, keys.
    Secret,
    /// Texts that people write, with personal data in them.
    FreeText,
    /// Documents with personal data in them.
    Document,
    /// A comment says that it is personal.
    Marked,
    /// Of a type that nothing is known of.
    Unknown,
}

impl Class {
    /// In a few words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "e-mail",
            Self::Phone => "phone",
            Self::Iban => "IBAN",
            Self::Card => "card",
            Self::Ip => "IP address",
            Self::Mac => "MAC address",
            Self::Postcode => "postcode",
            Self::NationalNumber => "national number",
            Self::FullName => "name",
            Self::FirstName => "first name",
            Self::LastName => "last name",
            Self::Username => "user name",
            Self::Street => "street",
            Self::City => "city",
            Self::Company => "company",
            Self::BirthDate => "date of birth",
            Self::Location => "location",
            Self::Url => "web page",
            Self::Trait => "personal trait",
            Self::Picture => "picture",
            Self::Device => "device",
            Self::Secret => "secret",
            Self::FreeText => "free text",
            Self::Document => "document",
            Self::Marked => "marked personal",
            Self::Unknown => "unknown type",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How sure it is that a column is what it looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// It may be.
    Possible,
    /// It most likely is.
    Likely,
    /// It is, as far as anything can be told from outside.
    Certain,
}

impl Confidence {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Certain => "certain",
        }
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
