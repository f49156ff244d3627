//! One value as a person gave it, and what it can be read as. Units are part of the text; nothing passes through a float.

use jiff::SignedDuration;
use std::{
    fmt::{Debug, Display},
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    str::FromStr,
};

/// A value before it is read as anything.
pub enum Given {
    /// A TOML string.
    Text(String),
    /// A TOML number by its digits.
    Number(String),
    /// A TOML boolean.
    Boolean(bool),
    /// A TOML date or time.
    Datetime(String),
    /// A TOML array.
    List(Vec<Given>),
    /// A TOML table in a list: its keys with their values.
    Table(Vec<(String, Given)>),
    /// An environment variable: whatever its key wants it to be.
    Loose(String),
}

impl Given {
    /// What kind of value it is.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Loose(_) => "a text",
            Self::Number(_) => "a number",
            Self::Boolean(_) => "a boolean",
            Self::Datetime(_) => "a date or time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }

    /// Its text; `wanted` says what to give instead.
    ///
    /// # Errors
    /// It is none.
    pub fn text_or(&self, wanted: &str) -> Result<&str, String> {
        match self {
            Self::Text(text) | Self::Loose(text) => Ok(text),
            other => Err(format!("is {}; give {wanted}", other.what())),
        }
    }

    /// A text.
    ///
    /// # Errors
    /// What is wrong with it, and what to give instead.
    pub fn text(&self) -> Result<&str, String> {
        self.text_or("a text in quotes")
    }

    /// `None` for the empty text, which is how a person says "not this".
    ///
    /// # Errors
    /// What is wrong with it, and what to give instead.
    pub fn optional<T>(&self, read: impl FnOnce(&Self) -> Result<T, String>) -> Result<Option<T>, String> {
        match self {
            Self::Text(text) | Self::Loose(text) if text.is_empty() => Ok(None),
            given => read(given).map(Some),
        }
    }

    /// An id, or whatever else says by itself why a text is not one.
    ///
    /// # Errors
    /// What is wrong with it, and what to give instead.
    pub fn parsed<T: FromStr<Err: Display>>(&self) -> Result<T, String> {
        self.text()?.parse().map_err(|error: T::Err| error.to_string())
    }

    /// True or false.
    ///
    /// # Errors
    /// What is wrong with it, and what to give instead.
    pub fn boolean(&self) -> Result<bool, String> {
        match self {
            Self::Boolean(value) => Ok(*value),
            Self::Loose(text) if text == "true" => Ok(true),
            Self::Loose(text) if text == "false" => Ok(false),
            Self::Loose(text) => Err(format!("`{}` is neither true nor false", shortened(text))),
            other => Err(format!("is {}; give true or false, without quotes", other.what())),
        }
    }

    /// A whole number.
    ///
    /// # Errors
    /// What is wrong with it, and what to give instead.
    pub fn integer<T>(&self, range: RangeInclusive<T>) -> Result<T, String>
    where
        T: FromStr + PartialOrd + Display,
    {
        let (from, to) = (range.start(), range.end());
        let digits = match self {
            Self::Number(digits) | Self::Loose(digits) => digits,
            other => {
                return Err(format!(
                    "is {}; give a whole number from {from} to {to}, without quotes",
                    other.what()
                ));
            }
        };
        let number = digits.replace('_', "").parse::<T>().ok();
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("`{}` is not a whole number from {from} to {to}", shortened(digits)))
    }

    /// A duration in milliseconds.
    ///
    /// # Errors
    /// What is wrong with it, and what to give instead.
    pub fn duration_ms(&self, range: RangeInclusive<SignedDuration>) -> Result<u64, String> {
        let wanted = "a duration with its unit, in quotes, such as \"60s\", \"30m\" or \"24h\"";
        let text = self.text_or(wanted)?;
        let duration: SignedDuration = text
            .parse()
            .map_err(|_| format!("`{}` is not a duration; give {wanted}", shortened(text)))?;
        let whole_ms = duration.subsec_nanos() % 1_000_000 == 0;
        let ms = u64::try_from(duration.as_millis()).ok();
        ms.filter(|_| whole_ms && range.contains(&duration)).ok_or_else(|| {
            let (from, to) = (range.start(), range.end());
            format!(
                "`{}` is not within {from:#} to {to:#} in whole milliseconds",
                shortened(text)
            )
        })
    }

    /// Money, power: a decimal in quotes.
    ///
    /// # Errors
    /// What is wrong with it, and what to give instead.
    pub fn amount<T>(&self, unit: &str, range: RangeInclusive<T>) -> Result<T, String>
    where
        T: FromStr<Err: Display> + PartialOrd + Display + Debug,
    {
        let (from, to) = (range.start(), range.end());
        let text = self.text_or(&format!("{unit} in quotes, from \"{from}\" to \"{to}\""))?;
        let amount: T = text.parse().map_err(|error: T::Err| error.to_string())?;
        if range.contains(&amount) {
            Ok(amount)
        } else {
            Err(format!(
                "`{text}` is out of range; give {unit} from \"{from}\" to \"{to}\""
            ))
        }
    }

    /// A size in bytes, from `"4KiB"` to `"1GiB"`.
    ///
    /// # Errors
    /// What is wrong with it, and what to give instead.
    pub fn bytes(&self, range: RangeInclusive<usize>) -> Result<usize, String> {
        const UNITS: [(&str, usize); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
        let wanted = "a size with its unit, in quotes, such as \"8MiB\"";
        let text = self.text_or(wanted)?;
        let size = UNITS.iter().find_map(|(unit, factor)| {
            let digits = text.strip_suffix(unit)?.trim_end();
            digits.parse::<usize>().ok()?.checked_mul(*factor)
        });
        let size = size.ok_or_else(|| format!("`{}` is not a size; give {wanted}", shortened(text)))?;
        if range.contains(&size) {
            Ok(size)
        } else {
            let mib = |bytes: &usize| bytes >> 20;
            Err(format!(
                "`{text}` is out of range; give a size from \"{}MiB\" to \"{}MiB\"",
                mib(range.start()),
                mib(range.end())
            ))
        }
    }

    /// An IP address with its port.
    ///
    /// # Errors
    /// What is wrong with it, and what to give instead.
    pub fn address(&self) -> Result<SocketAddr, String> {
        let wanted = "an IP address and a port in quotes, such as \"127.0.0.1:1883\" or \"[::1]:1883\"";
        let text = self.text_or(wanted)?;
        text.parse()
            .map_err(|_| format!("`{}` is not an address; give {wanted}", shortened(text)))
    }

    /// Addresses, none of them twice.
    ///
    /// # Errors
    /// What is wrong with it, and what to give instead.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        const ADDRESSES_MAX: usize = 16;
        let addresses: Vec<SocketAddr> = match self {
            Self::List(items) => items.iter().map(Self::address).collect::<Result<_, _>>()?,
            Self::Loose(text) => text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(|part| Self::Text(part.to_owned()).address())
                .collect::<Result<_, _>>()?,
            other => {
                return Err(format!(
                    "is {}; give a list of addresses such as [\"127.0.0.1:1883\"]",
                    other.what()
                ));
            }
        };
        if addresses.len() > ADDRESSES_MAX {
            return Err(format!(
                "has {} addresses; at most {ADDRESSES_MAX} are allowed",
                addresses.len()
            ));
        }
        let twice = addresses
            .iter()
            .enumerate()
            .find(|(index, address)| address.port() != 0 && addresses[..*index].contains(address));
        match twice {
            Some((_, address)) => Err(format!("lists {address} twice")),
            None => Ok(addresses),
        }
    }

    /// Host names and addresses, as they stand in a certificate.
    ///
    /// # Errors
    /// What is wrong with it, and what to give instead.
    pub fn names(&self) -> Result<Vec<String>, String> {
        const NAMES_MAX: usize = 16;
        let wanted = "a list of names and addresses such as [\"edge.example\", \"192.168.1.10\"]";
        let names: Vec<&str> = match self {
            Self::List(items) => items.iter().map(Self::text).collect::<Result<_, _>>()?,
            Self::Loose(text) => text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect(),
            other => return Err(format!("is {}; give {wanted}", other.what())),
        };
        if names.len() > NAMES_MAX {
            return Err(format!("has {} names; at most {NAMES_MAX} are allowed", names.len()));
        }
        let label = |label: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            (1..=63).contains(&label.len()) && label.bytes().all(plain)
        };
        let is_name =
            |name: &str| name.parse::<std::net::IpAddr>().is_ok() || (name.len() <= 253 && name.split('.').all(label));
        match names.iter().find(|name| !is_name(name)) {
            Some(wrong) => Err(format!(
                "`{}` is neither a host name nor an address; give {wanted}",
                shortened(wrong)
            )),
            None => Ok(names.into_iter().map(str::to_owned).collect()),
        }
    }

    /// A time with its offset, in the form that TOML has for it or as a text.
    ///
    /// # Errors
    /// It is something else.
    pub fn time(&self) -> Result<&str, String> {
        match self {
            Self::Datetime(text) => Ok(text),
            given => given.text_or("a time with its offset, such as 2026-03-01T08:00:00+08:00"),
        }
    }

    /// A path; a relative one counts from `folder`, which is that of the file.
    ///
    /// # Errors
    /// It is empty, or no path at all.
    pub fn path(&self, folder: &Path) -> Result<PathBuf, String> {
        match self.text()? {
            "" => Err("is empty; give a path".to_owned()),
            text if text.contains('\0') => Err("contains a zero byte; give a path".to_owned()),
            text => Ok(folder.join(text)),
        }
    }
}

/// Host and port of `host:port`; an IPv6 address stands in brackets.
pub fn split_address(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' || byte == b'_';
    match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().ok().map(|_| (address, port)),
        None => (!host.is_empty() && host.bytes().all(is_name)).then_some((host, port)),
    }
}

/// Enough of a text to be recognised by.
pub fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}
