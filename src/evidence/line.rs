//! A record as a line of JSON, written member by member.
//!
//! A second description of what a record says, beside `Serialize`, for the members that every record has. Serde's has to
//! suit all formats: of 12,050 instructions for a line with inputs, without its hashing, 4,000 were the way from one piece of
//! text to the next. What few records have is left to it. A property test holds the two against each other, byte for byte.

use std::fmt::{self, Write};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::decision::{Decision, Effect};
use crate::epoch::{Version, VersionDigest, hex};
use crate::ext::{Datetime, IpAddr};
use crate::id::EntityUidRef;
use crate::request::locals::RequestNames;
use crate::value::arena::NameText;
use crate::value::{Record, Value, View};

use super::context::{Contents as Context, ContextView, EscapedDatetime, call};
use super::copied::{Token, Walk};
use super::fields::is_longer;
use super::inputs::{Contents as Entities, EntityInputs, InputsView};
use super::json::{self, Buffer, JsonError};
use super::pieces::{Each, Text};
use super::record::{DecisionRecord, RecordedPolicy};

/// Appends a record, as JSON. After an error, `out` ends with a piece of it.
pub(super) fn write(record: &DecisionRecord<'_>, out: &mut Buffer) -> Result<(), JsonError> {
    // Behind every value is a comma, as in `json`.
    head(record, out);
    asked(record, out)?;
    read(record, out)?;
    if record.masked.is_some() {
        out.piece(b"\"masked\":");
        json::value(&Each(|| record.masked()), out)?;
        out.piece(b"\"replayable\":");
        json::value(&record.is_replayable(), out)?;
    }
    if let Some(delegation) = record.delegation {
        out.piece(b"\"delegation\":");
        json::value(&delegation, out)?;
    }
    decided(record, out)?;
    out.close(b'}');
    out.truncate(out.len() - 1);
    Ok(())
}

fn head(record: &DecisionRecord<'_>, out: &mut Buffer) {
    const { assert!(super::record::FORMAT == 1) }
    let instance = record.instance.as_bytes();
    out.piece(b"{\"format\":1,\"id\":\"");
    out.extend(instance);
    out.push(b'-');
    out.digits(record.sequence);
    out.piece(b"\",\"instance\":\"");
    out.extend(instance);
    out.piece(b"\",\"sequence\":");
    number(record.sequence, out);
    if record.lost_before > 0 {
        out.piece(b"\"lost_before\":");
        number(record.lost_before, out);
    }
    out.piece(b"\"time\":");
    time(record.time, out);
    out.piece(b"\"duration_ns\":");
    let nanoseconds = u64::try_from(record.duration.as_nanos());
    number(nanoseconds.unwrap_or(u64::MAX), out);
    out.piece(b"\"engine\":\"");
    out.extend(record.engine().as_bytes());
    out.piece(b"\",\"language\":\"");
    out.extend(record.language().as_bytes());
    out.piece(b"\",");
    version(&record.version(), out);
}

fn time(time: SystemTime, out: &mut Buffer) {
    match Datetime::try_from(time).ok().and_then(Datetime::text) {
        Some(text) => {
            out.push(b'"');
            out.extend(text.as_bytes());
            out.piece(b"\",");
        }
        None => out.piece(b"null,"),
    }
}

fn version(version: &Version, out: &mut Buffer) {
    out.piece(b"\"version\":{\"epoch\":");
    number(version.epoch(), out);
    out.piece(b"\"entity_revision\":");
    number(version.entity_revision(), out);
    out.piece(b"\"policies\":");
    digest(version.policies(), out);
    out.piece(b"\"schema\":");
    match version.schema() {
        Some(schema) => digest(schema, out),
        None => out.piece(b"null,"),
    }
    out.close(b'}');
}

fn digest(digest: VersionDigest, out: &mut Buffer) {
    out.push(b'"');
    out.piece(&hex(digest.as_bytes()));
    out.piece(b"\",");
}

/// What was asked, but for the context.
fn asked(record: &DecisionRecord<'_>, out: &mut Buffer) -> Result<(), JsonError> {
    if let Some(ages) = record.ages() {
        out.piece(b"\"ages\":");
        json::value(&ages, out)?;
    }
    if let Some(id) = record.request_id() {
        out.piece(b"\"request_id\":");
        out.text(id.as_bytes(), b',');
    }
    if let Some(trace) = record.trace() {
        out.piece(b"\"trace\":");
        json::value(&trace, out)?;
    }
    if let Some(sequence) = record.rechecks() {
        out.piece(b"\"rechecks\":");
        number(sequence, out);
    }
    out.piece(b"\"principal\":");
    uid(record.principal(), out);
    out.piece(b"\"action\":");
    uid(record.action(), out);
    out.piece(b"\"resource\":");
    uid(record.resource(), out);
    Ok(())
}

/// What the decision was made from.
fn read(record: &DecisionRecord<'_>, out: &mut Buffer) -> Result<(), JsonError> {
    let mut hash = Sha256::new();
    if let Some(context) = record.context {
        out.piece(b"\"context\":");
        let start = out.len();
        view(context, out)?;
        hash.update(without_comma(out.since(start)));
    }
    let Some(inputs) = record.inputs else {
        return Ok(());
    };
    out.piece(b"\"inputs\":{\"entities\":");
    let start = out.len();
    entities(&inputs, out)?;
    let of_inputs = match record.context {
        Some(_) => {
            hash.update(without_comma(out.since(start)));
            <[u8; 32]>::from(hash.finalize()).into()
        }
        None => inputs.digest(),
    };
    out.piece(b"\"digest\":");
    digest(of_inputs, out);
    out.close(b'}');
    Ok(())
}

fn without_comma(text: &[u8]) -> &[u8] {
    text.strip_suffix(b",").unwrap_or(text)
}

fn decided(record: &DecisionRecord<'_>, out: &mut Buffer) -> Result<(), JsonError> {
    match record.enforced {
        None => out.piece(b"\"mode\":\"enforce\","),
        Some(enforced) => {
            out.piece(b"\"mode\":\"shadow\",\"enforced\":");
            json::value(&enforced, out)?;
        }
    }
    match record.decision() {
        Decision::Allow => out.piece(b"\"decision\":\"allow\",\"outcome\":\""),
        Decision::Deny => out.piece(b"\"decision\":\"deny\",\"outcome\":\""),
    }
    out.extend(record.outcome.as_str().as_bytes());
    out.piece(b"\",\"determining\":[");
    record.determining().for_each(|found| policy(found, out));
    out.close(b']');
    if record.errors().len() == 0 {
        out.piece(b"\"errors\":[],");
    } else {
        out.piece(b"\"errors\":");
        json::value(&Each(|| record.errors()), out)?;
    }
    if let Some(error) = record.request_error {
        out.piece(b"\"request_error\":");
        json::value(&Text(error), out)?;
    }
    Ok(())
}

fn policy(policy: RecordedPolicy<'_>, out: &mut Buffer) {
    out.piece(b"{\"id\":");
    out.text(policy.id().as_str().as_bytes(), b',');
    if let Some(template) = policy.template() {
        out.piece(b"\"template\":");
        out.text(template.as_str().as_bytes(), b',');
    }
    match policy.effect() {
        Effect::Permit => out.piece(b"\"effect\":\"permit\","),
        Effect::Forbid => out.piece(b"\"effect\":\"forbid\","),
    }
    let annotations = policy.annotations();
    if annotations.len() > 0 {
        out.piece(b"\"annotations\":{");
        for (name, value) in annotations {
            out.text(name.as_bytes(), b':');
            out.text(value.as_bytes(), b',');
        }
        out.close(b'}');
    }
    out.close(b'}');
}

fn number(number: u64, out: &mut Buffer) {
    out.digits(number);
    out.push(b',');
}

fn uid(uid: EntityUidRef<'_>, out: &mut Buffer) {
    out.piece(b"{\"type\":");
    out.text(uid.type_name().as_bytes(), b',');
    out.piece(b"\"id\":");
    out.text(uid.id().as_bytes(), b'}');
    out.push(b',');
}

fn view(context: ContextView<'_>, out: &mut Buffer) -> Result<(), JsonError> {
    match context.0 {
        Context::Borrowed {
            record: fields,
            names,
        } => record(fields, names, out),
        Context::Copied { copied, names } => token(&Walk::new(copied, names), out),
    }
}

fn record(record: Record<'_>, names: RequestNames<'_>, out: &mut Buffer) -> Result<(), JsonError> {
    out.push(b'{');
    for (name, of) in record.iter() {
        field(names.sym_text(name), out);
        value(of, names, out)?;
    }
    out.close(b'}');
    Ok(())
}

/// The name of a field.
fn field(name: &str, out: &mut Buffer) {
    if is_longer(name) {
        // Underscores and letters.
        out.extend(b"\"_");
        out.extend(name.as_bytes());
        out.extend(b"\":");
        return;
    }
    out.text(name.as_bytes(), b':');
}

fn value(value: Value<'_>, names: RequestNames<'_>, out: &mut Buffer) -> Result<(), JsonError> {
    match value.view() {
        View::Bool(b) => bool(b, out),
        View::Long(i) => long(i, out),
        View::String(text) => out.text(text.as_bytes(), b','),
        View::Entity(uid) => entity_value(names.entity(uid), out),
        View::Set(set) => {
            out.push(b'[');
            for item in set.iter() {
                self::value(item, names, out)?;
            }
            out.close(b']');
        }
        View::Record(fields) => record(fields, names, out)?,
        View::Decimal(d) => json::value(&call("decimal", &d), out)?,
        View::Duration(d) => json::value(&call("duration", &d), out)?,
        View::Ip(ip) => address(ip, out),
        View::Datetime(d) => datetime(d, out)?,
    }
    Ok(())
}

/// The value that comes next in a copy.
fn token(walk: &Walk<'_>, out: &mut Buffer) -> Result<(), JsonError> {
    match walk.next() {
        Some(Token::Bool(b)) => bool(b, out),
        Some(Token::Long(i)) => long(i, out),
        Some(Token::Text(span)) => out.text(walk.text(span).as_bytes(), b','),
        Some(uid @ (Token::Entity(_) | Token::Known(_))) => {
            entity_value(walk.uid_of(uid), out);
        }
        Some(Token::Set(count)) => {
            out.push(b'[');
            for _ in 0..count {
                token(walk, out)?;
            }
            out.close(b']');
        }
        Some(Token::Record(count)) => {
            out.push(b'{');
            for _ in 0..count {
                field(walk.key(), out);
                token(walk, out)?;
            }
            out.close(b'}');
        }
        Some(Token::Decimal(d)) => json::value(&call("decimal", &d), out)?,
        Some(Token::Duration(d)) => json::value(&call("duration", &d), out)?,
        Some(Token::Ip(at)) => match walk.address(at) {
            Some(ip) => address(&ip, out),
            None => return Err(JsonError::not_whole()),
        },
        Some(Token::Datetime(d)) => datetime(d, out)?,
        Some(Token::Name(_) | Token::Bare(_)) | None => return Err(JsonError::not_whole()),
    }
    Ok(())
}

fn bool(b: bool, out: &mut Buffer) {
    match b {
        true => out.piece(b"true,"),
        false => out.piece(b"false,"),
    }
}

fn long(i: i64, out: &mut Buffer) {
    if i < 0 {
        out.push(b'-');
    }
    number(i.unsigned_abs(), out);
}

fn entity_value(entity: EntityUidRef<'_>, out: &mut Buffer) {
    out.piece(b"{\"__entity\":");
    uid(entity, out);
    out.close(b'}');
}

fn address(ip: &IpAddr, out: &mut Buffer) {
    out.piece(b"{\"__extn\":{\"fn\":\"ip\",\"arg\":\"");
    // A buffer takes everything.
    let _ = write!(Plain(out), "{ip}");
    out.piece(b"\"}},");
}

/// `Display` text that needs no escaping.
struct Plain<'o>(&'o mut Buffer);

impl Write for Plain<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend(text.as_bytes());
        Ok(())
    }
}

fn datetime(datetime: Datetime, out: &mut Buffer) -> Result<(), JsonError> {
    let Some(text) = datetime.text() else {
        return json::value(&EscapedDatetime(datetime), out);
    };
    out.piece(b"{\"__extn\":{\"fn\":\"datetime\",\"arg\":\"");
    out.extend(text.as_bytes());
    out.piece(b"\"}},");
    Ok(())
}

fn entities(inputs: &InputsView<'_>, out: &mut Buffer) -> Result<(), JsonError> {
    out.push(b'[');
    match inputs.0 {
        Entities::Borrowed {
            entities, names, ..
        } => {
            for entity in entities {
                borrowed(entity, names, out)?;
            }
        }
        Entities::Copied { copied, names, .. } => {
            let walk = Walk::new(copied, names);
            for _ in 0..walk.set() {
                self::copied(&walk, out)?;
            }
        }
    }
    out.close(b']');
    Ok(())
}

fn borrowed(
    entity: &EntityInputs<'_>,
    names: RequestNames<'_>,
    out: &mut Buffer,
) -> Result<(), JsonError> {
    out.piece(b"{\"uid\":");
    uid(names.entity(entity.uid), out);
    if !entity.exists {
        out.piece(b"\"missing\":true,");
    }
    out.piece(b"\"attrs\":");
    record(entity.attrs, names, out)?;
    if entity.tags.len() > 0 {
        out.piece(b"\"tags\":");
        record(entity.tags, names, out)?;
    }
    let uids = |uids: &[_], out: &mut Buffer| {
        uids.iter().for_each(|of| uid(names.entity(*of), out));
        out.close(b']');
    };
    out.piece(b"\"parents\":[");
    uids(entity.ancestors, out);
    if !entity.absent.is_empty() {
        out.piece(b"\"absent\":[");
        for name in entity.absent {
            out.text(names.sym_text(*name).as_bytes(), b',');
        }
        out.close(b']');
    }
    if !(entity.absent_tags.is_empty() && entity.unknown_tags.is_empty()) {
        out.piece(b"\"absent_tags\":[");
        for name in entity.absent_tags {
            out.text(names.sym_text(*name).as_bytes(), b',');
        }
        for name in entity.unknown_tags {
            out.text(name.as_bytes(), b',');
        }
        out.close(b']');
    }
    if !entity.not_above.is_empty() {
        out.piece(b"\"absent_parents\":[");
        uids(entity.not_above, out);
    }
    out.close(b'}');
    Ok(())
}

/// The entity that comes next in a copy.
fn copied(walk: &Walk<'_>, out: &mut Buffer) -> Result<(), JsonError> {
    out.piece(b"{\"uid\":");
    uid(walk.uid(), out);
    let (exists, is_bare) = walk.exists();
    if !exists {
        out.piece(b"\"missing\":true,");
    }
    let uids = |count: u32, out: &mut Buffer| {
        (0..count).for_each(|_| uid(walk.uid(), out));
        out.close(b']');
    };
    if is_bare {
        out.piece(b"\"attrs\":{},\"parents\":[");
        uids(walk.set(), out);
        out.close(b'}');
        return Ok(());
    }
    out.piece(b"\"attrs\":");
    token(walk, out)?;
    if walk.is_empty_record() {
        walk.skip();
    } else {
        out.piece(b"\"tags\":");
        token(walk, out)?;
    }
    out.piece(b"\"parents\":[");
    uids(walk.set(), out);
    for member in [&b"\"absent\":["[..], b"\"absent_tags\":["] {
        let count = walk.set();
        if count > 0 {
            out.extend(member);
            (0..count).for_each(|_| out.text(walk.key().as_bytes(), b','));
            out.close(b']');
        }
    }
    let not_above = walk.set();
    if not_above > 0 {
        out.piece(b"\"absent_parents\":[");
        uids(not_above, out);
    }
    out.close(b'}');
    Ok(())
}
