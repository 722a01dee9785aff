//! The type matrix in fe2o3-amqp's types.

use std::fs;

use fe2o3_amqp::types::messaging::{
    AmqpSequence, AmqpValue, ApplicationProperties, Batch, Body, Data, Header, Message, MessageAnnotations, MessageId,
    Priority, Properties, annotations,
};
use fe2o3_amqp::types::primitives::{
    Array, Dec32, Dec64, Dec128, OrderedMap, SimpleValue, Symbol, Timestamp, Uuid, Value,
};
use serde_amqp::described::Described;
use serde_amqp::descriptor::Descriptor;
use serde_json::{Map, json};

use crate::Result;

type Cases = Vec<(String, Message<Body<Value>>)>;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn array<const N: usize>(text: &str) -> [u8; N] {
    unhex(text).try_into().unwrap()
}

fn double(text: &str) -> f64 {
    f64::from_be_bytes(array(text))
}

fn parse(kind: &str, text: &str) -> Result<Value> {
    Ok(match kind {
        "null" => Value::Null,
        "boolean" => Value::Bool(text == "true"),
        "ubyte" => Value::Ubyte(text.parse()?),
        "ushort" => Value::Ushort(text.parse()?),
        "uint" => Value::Uint(text.parse()?),
        "ulong" => Value::Ulong(text.parse()?),
        "byte" => Value::Byte(text.parse()?),
        "short" => Value::Short(text.parse()?),
        "int" => Value::Int(text.parse()?),
        "long" => Value::Long(text.parse()?),
        "float" => Value::from(double(text) as f32),
        "double" => Value::from(double(text)),
        "decimal32" => Value::Decimal32(Dec32::from(array(text))),
        "decimal64" => Value::Decimal64(Dec64::from(array(text))),
        "decimal128" => Value::Decimal128(Dec128::from(array(text))),
        "char" => Value::Char(char::from_u32(u32::from_str_radix(text, 16)?).ok_or("no character")?),
        "timestamp" => Value::Timestamp(Timestamp::from_milliseconds(text.parse()?)),
        "uuid" => Value::Uuid(Uuid::from(array(&text.replace('-', "")))),
        "binary" => Value::Binary(unhex(text).into()),
        "symbol" => Value::Symbol(Symbol::from(text)),
        _ => Value::String(text.to_owned()),
    })
}

fn structured() -> Vec<(&'static str, Value)> {
    let mut map = OrderedMap::new();
    map.insert(Value::String("k".to_owned()), Value::Int(1));
    map.insert(Value::String("n".to_owned()), Value::List(vec![Value::Int(2)]));
    let symbol = |text: &str| Value::Symbol(Symbol::from(text));
    let described = Described { descriptor: Descriptor::Code(4660), value: Value::String("x".to_owned()) };
    vec![
        ("list-empty", Value::List(Vec::new())),
        (
            "list",
            Value::List(vec![
                Value::Int(1),
                Value::String("a".to_owned()),
                Value::Bool(true),
                Value::List(vec![Value::Ulong(2)]),
            ]),
        ),
        ("map", Value::Map(map)),
        ("array-int", Value::Array(Array(vec![Value::Int(1), Value::Int(2), Value::Int(3)]))),
        ("array-symbol", Value::Array(Array(vec![symbol("a"), symbol("bc")]))),
        ("described", Value::Described(Box::new(described))),
    ]
}

fn message(subject: &str, body: Body<Value>) -> Message<Body<Value>> {
    Message {
        header: None,
        delivery_annotations: None,
        message_annotations: None,
        properties: Some(Properties { subject: Some(subject.to_owned()), ..Properties::default() }),
        application_properties: None,
        body,
        footer: None,
    }
}

fn annotation(value: Value) -> MessageAnnotations {
    MessageAnnotations::builder().insert(Symbol::from("x-opt-v"), value).build()
}

/// All cases, scalars from the file.
pub(crate) fn matrix(path: &str) -> Result<Cases> {
    let mut out = Vec::new();
    for line in fs::read_to_string(path)?.lines() {
        let mut parts = line.splitn(3, '\t');
        let mut next = || parts.next().unwrap_or_default();
        let (name, kind, text) = (next(), next(), next());
        let value = parse(kind, text)?;
        let mut case = message(name, Body::Value(AmqpValue(value.clone())));
        let simple = SimpleValue::try_from(value.clone()).map_err(|_| "no simple value")?;
        case.application_properties = Some(ApplicationProperties::builder().insert("v", simple).build());
        case.message_annotations = Some(annotation(value));
        out.push((name.to_owned(), case));
    }
    for (name, value) in structured() {
        let mut case = message(name, Body::Value(AmqpValue(value.clone())));
        case.message_annotations = Some(annotation(value));
        out.push((name.to_owned(), case));
    }
    let data = Body::Data(Batch::new(vec![Data(vec![0, 1, 255].into())]));
    out.push(("data".to_owned(), message("data", data)));
    let sequence = AmqpSequence(vec![Value::Int(1), Value::String("a".to_owned())]);
    out.push(("sequence".to_owned(), message("sequence", Body::Sequence(Batch::new(vec![sequence])))));
    out.push(("properties".to_owned(), properties()));
    Ok(out)
}

fn properties() -> Message<Body<Value>> {
    let mut case = message("properties", Body::Value(AmqpValue(Value::String("p".to_owned()))));
    case.header = Some(Header { durable: true, priority: Priority(7), ttl: Some(3_600_000), ..Header::default() });
    case.properties = Some(Properties {
        message_id: Some(MessageId::Ulong(77)),
        user_id: Some(b"user".to_vec().into()),
        to: Some("to-field".into()),
        subject: Some("properties".to_owned()),
        reply_to: Some("reply-field".into()),
        correlation_id: Some(MessageId::String("corr".to_owned())),
        content_type: Some(Symbol::from("text/plain")),
        content_encoding: Some(Symbol::from("identity")),
        absolute_expiry_time: Some(Timestamp::from_milliseconds(4_102_444_800_000)),
        creation_time: Some(Timestamp::from_milliseconds(1_700_000_000_000)),
        group_id: Some("group".to_owned()),
        group_sequence: Some(5),
        reply_to_group_id: Some("reply-group".to_owned()),
    });
    case.application_properties = Some(
        ApplicationProperties::builder()
            .insert("b", SimpleValue::Bool(true))
            .insert("s", SimpleValue::String("text".to_owned()))
            .build(),
    );
    case
}

fn items(values: &[Value]) -> String {
    values.iter().map(canonical).collect::<Vec<_>>().join(",")
}

/// `type:text`, the same text in every client.
fn canonical(value: &Value) -> String {
    match value {
        Value::Described(described) => {
            let descriptor = match &described.descriptor {
                Descriptor::Code(code) => format!("ulong:{code}"),
                Descriptor::Name(name) => format!("symbol:{}", name.as_str()),
            };
            format!("described:{descriptor}|{}", canonical(&described.value))
        }
        Value::Null => "null:".to_owned(),
        Value::Bool(v) => format!("boolean:{v}"),
        Value::Ubyte(v) => format!("ubyte:{v}"),
        Value::Ushort(v) => format!("ushort:{v}"),
        Value::Uint(v) => format!("uint:{v}"),
        Value::Ulong(v) => format!("ulong:{v}"),
        Value::Byte(v) => format!("byte:{v}"),
        Value::Short(v) => format!("short:{v}"),
        Value::Int(v) => format!("int:{v}"),
        Value::Long(v) => format!("long:{v}"),
        Value::Float(v) => format!("float:{:016x}", f64::from(v.0).to_bits()),
        Value::Double(v) => format!("double:{:016x}", v.0.to_bits()),
        Value::Decimal32(v) => format!("decimal32:{}", hex(v.as_inner())),
        Value::Decimal64(v) => format!("decimal64:{}", hex(v.as_inner())),
        Value::Decimal128(v) => format!("decimal128:{}", hex(v.as_inner())),
        Value::Char(v) => format!("char:{:x}", u32::from(*v)),
        Value::Timestamp(v) => format!("timestamp:{}", v.milliseconds()),
        Value::Uuid(v) => {
            let text = hex(v.as_inner());
            format!("uuid:{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
        }
        Value::Binary(v) => format!("binary:{}", hex(v)),
        Value::String(v) => format!("string:{v}"),
        Value::Symbol(v) => format!("symbol:{}", v.as_str()),
        Value::List(v) => format!("list:[{}]", items(v)),
        Value::Array(v) => format!("array:[{}]", items(&v.0)),
        Value::Map(v) => {
            let mut pairs: Vec<String> =
                v.iter().map(|(key, value)| format!("{}={}", canonical(key), canonical(value))).collect();
            pairs.sort();
            format!("map:{{{}}}", pairs.join(","))
        }
    }
}

fn identifier(id: Option<&MessageId>) -> String {
    match id {
        Some(MessageId::Ulong(v)) => format!("ulong:{v}"),
        Some(MessageId::String(v)) => format!("string:{v}"),
        other => format!("{other:?}"),
    }
}

/// What a receiver prints of a case.
pub(crate) fn describe(message: &Message<Body<Value>>) -> serde_json::Value {
    let p = message.properties.clone().unwrap_or_default();
    let name = p.subject.clone().unwrap_or_default();
    let property = |key: &str| {
        let all = message.application_properties.as_ref()?;
        all.0.iter().find(|(k, _)| *k == key).map(|(_, value)| canonical(&Value::from(value.clone())))
    };
    if name == "properties" {
        let header = message.header.clone().unwrap_or_default();
        let symbol = |value: &Option<Symbol>| value.as_ref().map(|v| v.as_str().to_owned());
        let time = |value: &Option<Timestamp>| value.as_ref().map(|v| v.milliseconds().to_string());
        return json!({ "name": name, "properties": {
            "durable": header.durable.to_string(), "priority": header.priority.0.to_string(),
            "ttl": header.ttl.map(|ttl| ttl.to_string()), "message-id": identifier(p.message_id.as_ref()),
            "user-id": p.user_id.map(|id| String::from_utf8_lossy(&id).into_owned()), "to": p.to,
            "reply-to": p.reply_to, "correlation-id": identifier(p.correlation_id.as_ref()),
            "content-type": symbol(&p.content_type), "content-encoding": symbol(&p.content_encoding),
            "expiry": time(&p.absolute_expiry_time), "creation": time(&p.creation_time), "group-id": p.group_id,
            "group-sequence": p.group_sequence.map(|n| n.to_string()), "reply-to-group-id": p.reply_to_group_id,
            "b": property("b"), "s": property("s"),
        }});
    }
    let body = match &message.body {
        Body::Value(AmqpValue(value)) => canonical(value),
        Body::Data(data) => format!("data:{}", data.iter().map(|one| hex(&one.0)).collect::<String>()),
        Body::Sequence(sequence) => {
            format!("sequence:[{}]", sequence.iter().map(|one| items(&one.0)).collect::<Vec<_>>().join(","))
        }
        _ => "null:".to_owned(),
    };
    let mut line = Map::from_iter([("name".to_owned(), json!(name)), ("body".to_owned(), json!(body))]);
    if let Some(value) = property("v") {
        line.insert("prop".to_owned(), json!(value));
    }
    if let Some(all) = &message.message_annotations
        && let Some((_, value)) = all.0.iter().find(|(key, _)| **key == annotations::OwnedKey::from("x-opt-v"))
    {
        line.insert("ann".to_owned(), json!(canonical(value)));
    }
    line.into()
}
