//! Ordering keys: After events with one key in one domain are delivered in the order of their arrival.
//!
//! Each rpc's key (`ordered_by`) and domain (`order_domain`) are options in the `.proto` files; `build/order.rs` checks them.

use std::sync::Arc;

use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};
use smallvec::SmallVec;

use super::response::take_bytes;
use super::{Callback, Message};

impl Callback {
    /// The names of the fields that make an event's ordering key: lists, of which the first one counts whose fields all
    /// have a text. None if its events have no order.
    pub fn ordering_fields(&self) -> impl Iterator<Item = Vec<&'static str>> {
        let fields = self.request.fields;
        self.ordered_by.iter().map(|list| list.iter().filter_map(|index| Some(fields.get(*index)?.name)).collect())
    }

    /// The other callbacks that its order is shared with.
    pub fn ordered_with(&self) -> impl Iterator<Item = &'static Self> {
        let is_other = |other: &&Self| other.order_domain == self.order_domain && other.index != self.index;
        Self::all().iter().filter(is_other)
    }
}

/// Reads the ordering key of an encoded request, as `ordered_by` of the contract says: the texts of the first list of
/// fields that all have one, sorted, so that both directions of a single chat have one key. `None` if no list has.
pub fn ordering_key(request: &Message, ordered_by: &[&[usize]], message: &[u8]) -> Option<Arc<str>> {
    ordered_by.iter().find_map(|fields| {
        let texts: Option<SmallVec<[&str; 2]>> = fields.iter().map(|index| text(request, *index, message)).collect();
        let mut texts = texts?;
        texts.sort_unstable();
        Some(match &*texts {
            [one] => Arc::from(*one),
            several => several.join("+").into(),
        })
    })
}

/// Reads the text of a field, unless it is empty or absent.
fn text<'a>(request: &Message, index: usize, message: &'a [u8]) -> Option<&'a str> {
    let field = request.fields.get(index)?;
    let within = match field.group.and_then(|group| request.groups.get(group)) {
        Some(group) => last(message, group.number)?,
        None => message,
    };
    let text = std::str::from_utf8(last(within, field.number)?).ok()?;
    (!text.is_empty()).then_some(text)
}

/// Reads the bytes of the last field with this number: a later field overrides an earlier one.
fn last(mut bytes: &[u8], number: u32) -> Option<&[u8]> {
    let mut found = None;
    while !bytes.is_empty() {
        match decode_key(&mut bytes).ok()? {
            (at, WireType::LengthDelimited) => {
                let inner = take_bytes(&mut bytes)?;
                if at == number {
                    found = Some(inner);
                }
            }
            (at, wire_type) => skip_field(wire_type, at, &mut bytes, DecodeContext::default()).ok()?,
        }
    }
    found
}
