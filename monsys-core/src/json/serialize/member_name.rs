//! Values that stand for a text: keys of maps, and the texts that serde_json embeds.

use alloc::format;
use core::fmt::Display;

use serde_core::ser::{Impossible, Serialize, Serializer};

use super::SerializeError;

type Outcome = Result<(), SerializeError>;
type No = Impossible<(), SerializeError>;

/// A serializer that takes one text, or what serde_json makes a text of, and hands it on.
pub(super) struct AsText<F>(pub(super) F);

impl<F: FnOnce(&str) -> Outcome> Serializer for AsText<F> {
    type Ok = ();
    type Error = SerializeError;
    type SerializeSeq = No;
    type SerializeTuple = No;
    type SerializeTupleStruct = No;
    type SerializeTupleVariant = No;
    type SerializeMap = No;
    type SerializeStruct = No;
    type SerializeStructVariant = No;

    #[inline]
    fn serialize_str(self, value: &str) -> Outcome {
        (self.0)(value)
    }

    fn serialize_bool(self, value: bool) -> Outcome {
        (self.0)(if value { "true" } else { "false" })
    }

    fn serialize_i8(self, value: i8) -> Outcome {
        self.serialize_i64(i64::from(value))
    }

    fn serialize_i16(self, value: i16) -> Outcome {
        self.serialize_i64(i64::from(value))
    }

    fn serialize_i32(self, value: i32) -> Outcome {
        self.serialize_i64(i64::from(value))
    }

    fn serialize_i64(self, value: i64) -> Outcome {
        self.serialize_i128(i128::from(value))
    }

    fn serialize_i128(self, value: i128) -> Outcome {
        let mut digits = IntegerText::new();
        (self.0)(digits.write(value.unsigned_abs(), value < 0))
    }

    fn serialize_u8(self, value: u8) -> Outcome {
        self.serialize_u64(u64::from(value))
    }

    fn serialize_u16(self, value: u16) -> Outcome {
        self.serialize_u64(u64::from(value))
    }

    fn serialize_u32(self, value: u32) -> Outcome {
        self.serialize_u64(u64::from(value))
    }

    fn serialize_u64(self, value: u64) -> Outcome {
        self.serialize_u128(u128::from(value))
    }

    fn serialize_u128(self, value: u128) -> Outcome {
        let mut digits = IntegerText::new();
        (self.0)(digits.write(value, false))
    }

    fn serialize_f32(self, _value: f32) -> Outcome {
        Err(SerializeError::KeyType)
    }

    fn serialize_f64(self, _value: f64) -> Outcome {
        Err(SerializeError::KeyType)
    }

    fn serialize_char(self, value: char) -> Outcome {
        (self.0)(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_bytes(self, _value: &[u8]) -> Outcome {
        Err(SerializeError::KeyType)
    }

    fn serialize_none(self) -> Outcome {
        Err(SerializeError::KeyType)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _value: &T) -> Outcome {
        Err(SerializeError::KeyType)
    }

    fn serialize_unit(self) -> Outcome {
        Err(SerializeError::KeyType)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Outcome {
        Err(SerializeError::KeyType)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Outcome {
        (self.0)(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Outcome {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Outcome {
        Err(SerializeError::KeyType)
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<No, SerializeError> {
        Err(SerializeError::KeyType)
    }

    fn serialize_tuple(self, _length: usize) -> Result<No, SerializeError> {
        Err(SerializeError::KeyType)
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<No, SerializeError> {
        Err(SerializeError::KeyType)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<No, SerializeError> {
        Err(SerializeError::KeyType)
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<No, SerializeError> {
        Err(SerializeError::KeyType)
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<No, SerializeError> {
        Err(SerializeError::KeyType)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<No, SerializeError> {
        Err(SerializeError::KeyType)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Outcome {
        (self.0)(&format!("{value}"))
    }
}

/// Room for the text of any integer.
struct IntegerText {
    bytes: [u8; INTEGER_BYTES_MAX],
}

impl IntegerText {
    const fn new() -> Self {
        Self {
            bytes: [b'0'; INTEGER_BYTES_MAX],
        }
    }

    fn write(&mut self, mut magnitude: u128, is_negative: bool) -> &str {
        let mut start = self.bytes.len();
        for (place, slot) in self.bytes.iter_mut().enumerate().rev() {
            // Cannot fail: a remainder of 10 is a digit.
            *slot = b'0' + u8::try_from(magnitude % 10).unwrap_or_default();
            magnitude /= 10;
            start = place;
            if magnitude == 0 {
                break;
            }
        }
        if is_negative {
            start = start.saturating_sub(1);
            if let Some(slot) = self.bytes.get_mut(start) {
                *slot = b'-';
            }
        }
        // Cannot fail: a sign and digits are ASCII.
        str::from_utf8(self.bytes.get(start..).unwrap_or_default()).unwrap_or_default()
    }
}

/// A sign and 39 digits.
const INTEGER_BYTES_MAX: usize = 40;
