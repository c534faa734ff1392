//! Values that may be written in two ways. Read by hand, since serde's untagged enums say only
//! that nothing matched.

use std::fmt::{self, Formatter};

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{SnatText, TargetTable, To};

impl<'de> Deserialize<'de> for To {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ToVisitor)
    }
}

struct ToVisitor;

impl<'de> Visitor<'de> for ToVisitor {
    type Value = To;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a target as in \"192.168.1.32:80\", or { address = \"192.168.1.32:80\" }")
    }

    fn visit_str<E>(self, text: &str) -> Result<To, E> {
        Ok(To(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<To, A::Error> {
        let table = TargetTable::deserialize(MapAccessDeserializer::new(map))?;
        Ok(To(table.address))
    }
}

impl<'de> Deserialize<'de> for SnatText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SnatVisitor)
    }
}

struct SnatVisitor;

impl<'de> Visitor<'de> for SnatVisitor {
    type Value = SnatText;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("\"auto\", or an address of this host as in \"192.168.1.34\"")
    }

    fn visit_str<E>(self, text: &str) -> Result<SnatText, E> {
        Ok(SnatText(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<SnatText, A::Error> {
        let list = Vec::<String>::deserialize(SeqAccessDeserializer::new(list))?;
        Ok(SnatText(list.join(",")))
    }
}
