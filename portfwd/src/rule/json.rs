//! Rules as JSON: how they are stored beside the maps and sent to the daemon.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Rule, Written};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Json<'a> {
    #[serde(default, skip_serializing_if = "str::is_empty")]
    name: Cow<'a, str>,
    listen: Cow<'a, str>,
    to: Vec<Cow<'a, str>>,
    snat: Cow<'a, str>,
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let to = self
            .targets
            .iter()
            .map(|target| self.target_text(target).into());
        Json {
            name: self.name.as_str().into(),
            listen: self.listen_text().into(),
            to: to.collect(),
            snat: self.snat.to_string().into(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        let written = Written {
            name: &json.name,
            listen: &json.listen,
            to: json.to.iter().map(AsRef::as_ref).collect(),
            snat: json.snat.parse().map_err(de::Error::custom)?,
        };
        written.check().map_err(de::Error::custom)
    }
}
