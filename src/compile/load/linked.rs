//! How much Cedar copies to make the links of a policy set in JSON: the whole of a template for each.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::limits::{Limit, LimitExceeded, Limits};

/// So many bytes of a template's JSON that is copied for a link count as one: it becomes a tree of some ten times as many.
const COPIES: usize = 4;

#[derive(serde::Deserialize)]
struct Linked {
    #[serde(default)]
    templates: HashMap<String, Weight>,
    #[serde(default, rename = "templateLinks")]
    links: Vec<Link>,
}

#[derive(serde::Deserialize)]
struct Link {
    #[serde(default, rename = "templateId")]
    template: String,
}

/// Refuses links for which Cedar would copy too much. What is not in the form of policies is left to Cedar.
pub(super) fn check_links(text: &str, limits: &Limits) -> Result<(), LimitExceeded> {
    let Ok(linked) = serde_json::from_str::<Linked>(text) else {
        return Ok(());
    };
    let templates = linked.links.iter();
    let copied = templates.filter_map(|link| linked.templates.get(&link.template));
    let copied = copied.fold(0, |sum: usize, weight| sum.saturating_add(weight.0));
    limits.check(Limit::InputBytes, copied / COPIES)
}

/// About how many bytes some JSON has.
struct Weight(usize);

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Weigh;

        impl<'de> Visitor<'de> for Weigh {
            type Value = Weight;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON")
            }

            fn visit_bool<E>(self, _: bool) -> Result<Weight, E> {
                Ok(Weight(5))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Weight, E> {
                Ok(Weight(8))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Weight, E> {
                Ok(Weight(8))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Weight, E> {
                Ok(Weight(8))
            }

            fn visit_unit<E>(self) -> Result<Weight, E> {
                Ok(Weight(4))
            }

            fn visit_str<E>(self, text: &str) -> Result<Weight, E> {
                Ok(Weight(text.len() + 2))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Weight, A::Error> {
                let mut sum = 2;
                while let Some(Weight(item)) = items.next_element()? {
                    sum += item + 1;
                }
                Ok(Weight(sum))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Weight, A::Error> {
                let mut sum = 2;
                while let Some((Weight(key), Weight(value))) = members.next_entry()? {
                    sum += key + value + 2;
                }
                Ok(Weight(sum))
            }
        }

        deserializer.deserialize_any(Weigh)
    }
}
