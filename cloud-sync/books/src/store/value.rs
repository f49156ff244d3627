//! What goes into a statement and comes out of it, on either engine.

use super::StoreError;

/// A value. Money, energy and times are integers; everything else is text or bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// None.
    Null,
    /// `BIGINT`.
    Int(i64),
    /// `TEXT`.
    Text(String),
    /// `BLOB`, `BYTEA`.
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u64> for Value {
    /// Numbers of journal entries and the like: none comes near what an `i64` holds.
    fn from(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(value.into())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row of an answer, taken apart from the left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(pub Vec<Value>);

impl Row {
    fn take(&mut self, at: usize) -> Value {
        self.0
            .get_mut(at)
            .map_or(Value::Null, |value| std::mem::replace(value, Value::Null))
    }

    /// A number.
    ///
    /// # Errors
    /// [`StoreError::Broken`]: it is none.
    pub fn int(&mut self, at: usize) -> Result<i64, StoreError> {
        match self.take(at) {
            Value::Int(value) => Ok(value),
            other => Err(wrong(at, "a number", &other)),
        }
    }

    /// A number that is never below zero.
    ///
    /// # Errors
    /// [`StoreError::Broken`]: it is none.
    pub fn count(&mut self, at: usize) -> Result<u64, StoreError> {
        let value = self.int(at)?;
        u64::try_from(value).map_err(|_| wrong(at, "a number from zero on", &Value::Int(value)))
    }

    /// A text.
    ///
    /// # Errors
    /// [`StoreError::Broken`]: it is none.
    pub fn text(&mut self, at: usize) -> Result<String, StoreError> {
        match self.take(at) {
            Value::Text(value) => Ok(value),
            other => Err(wrong(at, "a text", &other)),
        }
    }

    /// Bytes.
    ///
    /// # Errors
    /// [`StoreError::Broken`]: they are none.
    pub fn bytes(&mut self, at: usize) -> Result<Vec<u8>, StoreError> {
        match self.take(at) {
            Value::Bytes(value) => Ok(value),
            other => Err(wrong(at, "bytes", &other)),
        }
    }

    /// A number, or none.
    ///
    /// # Errors
    /// [`StoreError::Broken`]: it is something else.
    pub fn optional_int(&mut self, at: usize) -> Result<Option<i64>, StoreError> {
        match self.take(at) {
            Value::Null => Ok(None),
            Value::Int(value) => Ok(Some(value)),
            other => Err(wrong(at, "a number or nothing", &other)),
        }
    }

    /// A text, or none.
    ///
    /// # Errors
    /// [`StoreError::Broken`]: it is something else.
    pub fn optional_text(&mut self, at: usize) -> Result<Option<String>, StoreError> {
        match self.take(at) {
            Value::Null => Ok(None),
            Value::Text(value) => Ok(Some(value)),
            other => Err(wrong(at, "a text or nothing", &other)),
        }
    }
}

fn wrong(at: usize, wanted: &str, found: &Value) -> StoreError {
    StoreError::Broken(format!("column {at} of a row is not {wanted} but {found:?}"))
}
