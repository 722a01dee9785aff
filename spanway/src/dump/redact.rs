//! Takes secrets out of what is given to others.

use router_core::entity::Type;
use router_core::management::EntityType;
use serde_json::Value;

/// What stands in the place of a secret.
const REMOVED: &str = "(removed)";

/// Parts of the names of attributes, in lower case, whose values are secrets whoever describes them.
const SECRETS: [&str; 7] = ["password", "passphrase", "passwd", "secret", "token", "credential", "headers"];

/// An entity of a type without its secrets.
pub(super) fn json(entity: Value, entity_type: &str) -> Value {
    let described = EntityType::from_name(entity_type);
    let secret =
        |name: &str| described.is_some_and(|ty| ty.attributes().any(|a| a.name == name && a.ty == Type::Secret));
    value(entity, &secret)
}

fn value(value: Value, described: &dyn Fn(&str) -> bool) -> Value {
    let value_of = self::value;
    match value {
        Value::Object(entries) => {
            let entry = |(name, item): (String, Value)| {
                let secret = is_secret(&name) || described(&name);
                let item = if secret && !item.is_null() { Value::from(REMOVED) } else { value_of(item, described) };
                (name, item)
            };
            Value::Object(entries.into_iter().map(entry).collect())
        }
        Value::Array(items) => items.into_iter().map(|item| value_of(item, described)).collect(),
        Value::String(content) => Value::String(text(&content)),
        other => other,
    }
}

/// Names of files with secrets are none.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !name.ends_with("file") && SECRETS.iter().any(|secret| name.contains(secret))
}

/// Text without what looks like a secret: user and password of URLs, private keys, and what follows `password=` and the like.
pub(super) fn text(text: &str) -> String {
    keys(text.split_inclusive('\n').map(|line| assigned(&urls(line))).collect())
}

/// `://USER:PASSWORD@HOST`
fn urls(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end =
            after.find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '<' | '>')).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                out.push_str(REMOVED);
                out.push('@');
                out.push_str(host);
            }
            None => out.push_str(authority),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// `password=VALUE`, `"saslPassword": "VALUE"`, `token: VALUE`
fn assigned(line: &str) -> String {
    let mut out = line.to_owned();
    for secret in SECRETS {
        let mut from = 0;
        while let Some(found) = out.get(from..).and_then(|rest| rest.to_ascii_lowercase().find(secret)) {
            let after = from + found + secret.len();
            from = after;
            let Some(rest) = out.get(after..) else { break };
            // A sign, perhaps between quotes and blanks.
            let sign = rest.trim_start_matches(['"', '\'', ' ']);
            let Some(value) = sign.strip_prefix(['=', ':']) else { continue };
            let value = value.trim_start();
            // Within quotes everything counts, blanks too.
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
            let value = quote.map_or(value, |quote| value.trim_start_matches(quote));
            let start = out.len() - value.len();
            let ends = |c: char| match quote {
                Some(quote) => c == quote,
                None => c.is_whitespace() || matches!(c, ',' | ';' | '}'),
            };
            let end = value.find(ends).unwrap_or_else(|| value.trim_end().len());
            if end > 0 && !value.starts_with(REMOVED) {
                out.replace_range(start..start + end, REMOVED);
                from = start + REMOVED.len();
            }
        }
    }
    out
}

/// PEM blocks of private keys.
fn keys(mut text: String) -> String {
    let mut from = 0;
    while let Some(start) = text.get(from..).and_then(|rest| rest.find("-----BEGIN")).map(|at| from + at) {
        let rest = text.get(start..).unwrap_or_default();
        if !rest.lines().next().is_some_and(|line| line.contains("PRIVATE KEY")) {
            from = start + 1;
            continue;
        }
        let end = rest.find("-----END").map_or(rest.len(), |at| at + rest[at..].find('\n').unwrap_or(rest.len() - at));
        text.replace_range(start..start + end, REMOVED);
        from = start + REMOVED.len();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_removed_from_entities() {
        let entity = json!({
            "name": "a", "password": "pass:x", "saslPassword": null, "privateKeyFile": "tls.key", "passwordFile": "/p",
            "openProperties": {"apiToken": "y", "ok": 1}, "list": ["amqps://u:p@h:1/x"],
        });
        let expected = json!({
            "name": "a", "password": "(removed)", "saslPassword": null, "privateKeyFile": "tls.key", "passwordFile": "/p",
            "openProperties": {"apiToken": "(removed)", "ok": 1}, "list": ["amqps://(removed)@h:1/x"],
        });
        assert_eq!(super::json(entity, "sslProfile"), expected);
    }

    #[test]
    fn every_secret_of_the_entity_model_is_known() {
        let attributes = EntityType::all().flat_map(EntityType::attributes);
        for attribute in attributes.filter(|attribute| attribute.ty == Type::Secret) {
            assert!(is_secret(attribute.name), "{}", attribute.name);
        }
    }

    #[test]
    fn secrets_are_removed_from_text() {
        for (before, after) in [
            ("to amqp://me:hunter2@h:5672 failed", "to amqp://(removed)@h:5672 failed"),
            ("two http://a and amqps://x:y@z", "two http://a and amqps://(removed)@z"),
            ("saslPassword=abc, next", "saslPassword=(removed), next"),
            ("{\"password\": \"a b\"}", "{\"password\": \"(removed)\"}"),
            ("the password is wrong", "the password is wrong"),
            ("Token: t\nPASSWORD = q\n", "Token: (removed)\nPASSWORD = (removed)\n"),
            ("x -----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\ny", "x (removed)\ny"),
            ("-----BEGIN PRIVATE KEY-----\nMII", "(removed)"),
            ("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nMII", "-----BEGIN CERTIFICATE-----\n(removed)"),
        ] {
            assert_eq!(text(before), after);
        }
    }
}
