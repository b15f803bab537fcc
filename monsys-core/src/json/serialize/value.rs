//! The serializer: each kind of value in the layout that serde_json gives it.

use core::fmt::Display;

use serde_core::ser::{self, Serialize};

use super::SerializeError;
use super::member_name::AsText;
use super::writer::{OpenObject, Writer};

type Outcome = Result<(), SerializeError>;

/// An open array, alone or as the value of a variant.
pub(super) struct List<'w, 's> {
    writer: &'w mut Writer<'s>,
    is_first: bool,
    is_variant: bool,
}

/// An open map.
pub(super) struct Map<'w, 's> {
    writer: &'w mut Writer<'s>,
    object: OpenObject,
    has_key: bool,
}

/// An open struct, alone or as the value of a variant.
pub(super) struct Fields<'w, 's> {
    writer: &'w mut Writer<'s>,
    layout: Layout,
}

/// What a struct is written as.
enum Layout {
    Object(OpenObject),
    Variant(OpenObject),
    /// A private structure of serde_json, and whether its one field has come.
    Embedded(Embedded, bool),
}

/// The private structures of serde_json.
#[derive(Clone, Copy)]
enum Embedded {
    Number,
    RawValue,
}

impl<'w, 's> ser::Serializer for &'w mut Writer<'s> {
    type Ok = ();
    type Error = SerializeError;
    type SerializeSeq = List<'w, 's>;
    type SerializeTuple = List<'w, 's>;
    type SerializeTupleStruct = List<'w, 's>;
    type SerializeTupleVariant = List<'w, 's>;
    type SerializeMap = Map<'w, 's>;
    type SerializeStruct = Fields<'w, 's>;
    type SerializeStructVariant = Fields<'w, 's>;

    #[inline]
    fn serialize_bool(self, value: bool) -> Outcome {
        self.push(if value { "true" } else { "false" });
        Ok(())
    }

    #[inline]
    fn serialize_i8(self, value: i8) -> Outcome {
        self.signed(i64::from(value))
    }

    #[inline]
    fn serialize_i16(self, value: i16) -> Outcome {
        self.signed(i64::from(value))
    }

    #[inline]
    fn serialize_i32(self, value: i32) -> Outcome {
        self.signed(i64::from(value))
    }

    #[inline]
    fn serialize_i64(self, value: i64) -> Outcome {
        self.signed(value)
    }

    fn serialize_i128(self, value: i128) -> Outcome {
        self.signed(i64::try_from(value).map_err(|_| SerializeError::NumberRange)?)
    }

    #[inline]
    fn serialize_u8(self, value: u8) -> Outcome {
        self.unsigned(u64::from(value))
    }

    #[inline]
    fn serialize_u16(self, value: u16) -> Outcome {
        self.unsigned(u64::from(value))
    }

    #[inline]
    fn serialize_u32(self, value: u32) -> Outcome {
        self.unsigned(u64::from(value))
    }

    #[inline]
    fn serialize_u64(self, value: u64) -> Outcome {
        self.unsigned(value)
    }

    fn serialize_u128(self, value: u128) -> Outcome {
        self.unsigned(u64::try_from(value).map_err(|_| SerializeError::NumberRange)?)
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Outcome {
        self.number(f64::from(value))
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Outcome {
        self.number(value)
    }

    fn serialize_char(self, value: char) -> Outcome {
        self.text(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Outcome {
        self.text(value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Outcome {
        self.collect_seq(value)
    }

    #[inline]
    fn serialize_none(self) -> Outcome {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Outcome {
        value.serialize(self)
    }

    #[inline]
    fn serialize_unit(self) -> Outcome {
        self.push("null");
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Outcome {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Outcome {
        self.text(variant)
    }

    #[inline]
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
        variant: &'static str,
        value: &T,
    ) -> Outcome {
        self.open_variant(variant)?;
        value.serialize(&mut *self)?;
        self.close("}");
        Ok(())
    }

    #[inline]
    fn serialize_seq(self, _length: Option<usize>) -> Result<List<'w, 's>, SerializeError> {
        self.open("[")?;
        Ok(List {
            writer: self,
            is_first: true,
            is_variant: false,
        })
    }

    #[inline]
    fn serialize_tuple(self, length: usize) -> Result<List<'w, 's>, SerializeError> {
        self.serialize_seq(Some(length))
    }

    #[inline]
    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        length: usize,
    ) -> Result<List<'w, 's>, SerializeError> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<List<'w, 's>, SerializeError> {
        self.open_variant(variant)?;
        self.open("[")?;
        Ok(List {
            writer: self,
            is_first: true,
            is_variant: true,
        })
    }

    #[inline]
    fn serialize_map(self, _length: Option<usize>) -> Result<Map<'w, 's>, SerializeError> {
        let object = self.open_object()?;
        Ok(Map {
            writer: self,
            object,
            has_key: false,
        })
    }

    #[inline]
    fn serialize_struct(
        self,
        name: &'static str,
        _length: usize,
    ) -> Result<Fields<'w, 's>, SerializeError> {
        let layout = match name {
            NUMBER => Layout::Embedded(Embedded::Number, false),
            RAW_VALUE => Layout::Embedded(Embedded::RawValue, false),
            _ => Layout::Object(self.open_object()?),
        };
        Ok(Fields {
            writer: self,
            layout,
        })
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Fields<'w, 's>, SerializeError> {
        self.open_variant(variant)?;
        let layout = Layout::Variant(self.open_object()?);
        Ok(Fields {
            writer: self,
            layout,
        })
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Outcome {
        self.display(value)
    }
}

impl Writer<'_> {
    /// Opens the object around the value of a variant. It has one member, so no order to keep.
    fn open_variant(&mut self, variant: &str) -> Outcome {
        self.open("{")?;
        self.text(variant)?;
        self.push(":");
        Ok(())
    }
}

impl List<'_, '_> {
    #[inline(always)]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
        if !self.is_first {
            self.writer.push(",");
        }
        self.is_first = false;
        let written = match self.writer.check_size(0) {
            Ok(()) => value.serialize(&mut *self.writer),
            Err(error) => Err(error),
        };
        self.writer.keep(written)
    }

    #[inline(always)]
    fn finish(self) -> Outcome {
        self.writer.close("]");
        if self.is_variant {
            self.writer.close("}");
        }
        Ok(())
    }
}

impl ser::SerializeSeq for List<'_, '_> {
    type Ok = ();
    type Error = SerializeError;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
        self.element(value)
    }

    #[inline]
    fn end(self) -> Outcome {
        self.finish()
    }
}

impl ser::SerializeTuple for List<'_, '_> {
    type Ok = ();
    type Error = SerializeError;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
        self.element(value)
    }

    #[inline]
    fn end(self) -> Outcome {
        self.finish()
    }
}

impl ser::SerializeTupleStruct for List<'_, '_> {
    type Ok = ();
    type Error = SerializeError;

    #[inline]
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
        self.element(value)
    }

    #[inline]
    fn end(self) -> Outcome {
        self.finish()
    }
}

impl ser::SerializeTupleVariant for List<'_, '_> {
    type Ok = ();
    type Error = SerializeError;

    #[inline]
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
        self.element(value)
    }

    #[inline]
    fn end(self) -> Outcome {
        self.finish()
    }
}

impl ser::SerializeMap for Map<'_, '_> {
    type Ok = ();
    type Error = SerializeError;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Outcome {
        let Self {
            writer,
            object,
            has_key,
        } = self;
        let written = if *has_key {
            Err(SerializeError::ApiMisuse)
        } else {
            key.serialize(AsText(|name: &str| writer.begin_member(object, name)))
        };
        *has_key = true;
        writer.keep(written)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
        let written = if self.has_key {
            value.serialize(&mut *self.writer)
        } else {
            Err(SerializeError::ApiMisuse)
        };
        self.has_key = false;
        self.writer.keep(written)
    }

    #[inline]
    fn end(self) -> Outcome {
        if self.has_key {
            return Err(SerializeError::ApiMisuse);
        }
        self.writer.close_object(&self.object)
    }
}

impl Fields<'_, '_> {
    #[inline(always)]
    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Outcome {
        let Self { writer, layout } = self;
        let written = match layout {
            Layout::Object(object) | Layout::Variant(object) => {
                match writer.begin_member(object, name) {
                    Ok(()) => value.serialize(&mut **writer),
                    Err(error) => Err(error),
                }
            }
            Layout::Embedded(embedded, has_come) => {
                let is_its_own = !*has_come && name == embedded.name();
                *has_come = true;
                if is_its_own {
                    value.serialize(AsText(|text: &str| embedded.write(writer, text)))
                } else {
                    Err(SerializeError::ApiMisuse)
                }
            }
        };
        self.writer.keep(written)
    }

    #[inline(always)]
    fn finish(self) -> Outcome {
        match self.layout {
            Layout::Object(object) => self.writer.close_object(&object),
            Layout::Variant(object) => {
                self.writer.close_object(&object)?;
                self.writer.close("}");
                Ok(())
            }
            Layout::Embedded(_, true) => Ok(()),
            Layout::Embedded(_, false) => Err(SerializeError::ApiMisuse),
        }
    }
}

impl ser::SerializeStruct for Fields<'_, '_> {
    type Ok = ();
    type Error = SerializeError;

    #[inline]
    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Outcome {
        self.field(name, value)
    }

    #[inline]
    fn end(self) -> Outcome {
        self.finish()
    }
}

impl ser::SerializeStructVariant for Fields<'_, '_> {
    type Ok = ();
    type Error = SerializeError;

    #[inline]
    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Outcome {
        self.field(name, value)
    }

    #[inline]
    fn end(self) -> Outcome {
        self.finish()
    }
}

impl Embedded {
    /// The name of the struct and of its one field.
    const fn name(self) -> &'static str {
        match self {
            Self::Number => NUMBER,
            Self::RawValue => RAW_VALUE,
        }
    }

    fn write(self, writer: &mut Writer<'_>, text: &str) -> Outcome {
        match self {
            Self::Number => writer.number_text(text),
            Self::RawValue => writer.json_text(text),
        }
    }
}

const NUMBER: &str = "$serde_json::private::Number";
const RAW_VALUE: &str = "$serde_json::private::RawValue";
