//! The reference's text form:
//!
//! ```text
//! listener {
//!     host: 0.0.0.0        # a comment
//!     port: amqp
//!     openProperties: {
//!         "key": "value",
//!     }
//! }
//! ```

use super::json;
use super::source::{Attribute, ConfigError, Finding, Lines, Section, camel_case};
use crate::entity::{Shortened, Value};

/// Values of these may contain `#`; they end at the first blank.
const HASH_ALLOWED: &[&str] = &["pattern", "bindingKey", "hostname"];

/// A line without its comment and without blanks around it.
struct Line<'a> {
    /// What is left.
    text: &'a str,
    /// Where that begins in the file.
    offset: usize,
}

/// Reads a whole file.
pub(crate) fn parse(source: &str, text: &str) -> Result<Vec<Section>, ConfigError> {
    let lines = Lines::new(source, text);
    let mut findings = Vec::new();
    let mut sections = Vec::new();
    let mut open: Option<Section> = None;
    let mut offset = 0;
    while offset < text.len() {
        let rest = text.get(offset..).unwrap_or_default();
        let line_end = rest.find('\n').map_or(text.len(), |at| offset + at + 1);
        let line = cut(text.get(offset..line_end).unwrap_or_default(), offset);
        let here = lines.position(line.offset);
        offset = line_end;
        if line.text.is_empty() {
            continue;
        }
        if line.text == "}" {
            match open.take() {
                Some(section) => sections.push(section),
                None => findings.push(Finding::new(here, "`}` without a section that it ends")),
            }
        } else if let Some(name) = section_start(line.text) {
            if let Some(unfinished) = open.take() {
                findings.push(Finding::new(
                    here.clone(),
                    format!(
                        "section `{}` of line {} has to end with `}}` before `{}` begins",
                        unfinished.name, unfinished.position.line, name
                    ),
                ));
            }
            open = Some(Section { name: camel_case(name), position: here, attributes: Vec::new() });
        } else if let Some((name, value)) = split_attribute(line.text) {
            let value_position = lines.position(line.offset + (line.text.len() - value.len()));
            let read = if value.starts_with('{') {
                let begin = line.offset + (line.text.len() - value.len());
                let (end, map) = read_map(text, begin, &lines);
                offset = end;
                map
            } else {
                scalar(value).map_err(|message| Finding::new(value_position.clone(), format!("{name}: {message}")))
            };
            match (read, &mut open) {
                (Err(finding), _) => findings.push(finding),
                (Ok(_), None) => findings.push(Finding::new(
                    here,
                    format!("attribute `{}` outside of a section; expected `section {{`", Shortened(name)),
                )),
                (Ok(value), Some(section)) => {
                    section.attributes.push(Attribute { name: camel_case(name), position: here, value, value_position })
                }
            }
        } else {
            let expected = if open.is_some() { "`name: value` or `}`" } else { "`section {`" };
            findings.push(Finding::new(here, format!("expected {expected}, found `{}`", Shortened(line.text))));
        }
    }
    if let Some(section) = open {
        findings.push(Finding::new(section.position, format!("section `{}` has no `}}` at its end", section.name)));
    }
    if findings.is_empty() { Ok(sections) } else { Err(ConfigError { findings }) }
}

/// Takes off the comment and the blanks around.
fn cut(line: &str, offset: usize) -> Line<'_> {
    let body = line.trim_start();
    let offset = offset + (line.len() - body.len());
    let name = split_attribute(body).map(|(name, _)| name);
    let text = match name {
        Some(name) if HASH_ALLOWED.contains(&name) => {
            let value = body.split_once(':').map_or("", |(_, value)| value);
            let start = body.len() - value.trim_start().len();
            let word = value.split_whitespace().next().unwrap_or_default();
            let after = body.get(start + word.len()..).unwrap_or_default().trim();
            // Anything but a comment behind the value stays, so that it is refused rather than lost.
            if after.is_empty() || after.starts_with('#') {
                body.get(..start + word.len()).unwrap_or(body)
            } else {
                body
            }
        }
        _ => body.split('#').next().unwrap_or_default(),
    };
    Line { text: text.trim_end(), offset }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|character| character.is_alphanumeric() || matches!(character, '_' | '-'))
}

/// `listener {`
fn section_start(line: &str) -> Option<&str> {
    let name = line.strip_suffix('{')?.trim_end();
    // The long and dotted names are not the reference's to write here, but they are unambiguous.
    name.split('.').all(is_name).then_some(name)
}

/// `name: value`; the value may be empty.
fn split_attribute(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let name = name.trim_end();
    is_name(name).then(|| (name, value.trim_start()))
}

/// A bare value. The reference puts it between quotes and reads that as JSON, so escapes count and quotes are refused.
fn scalar(value: &str) -> Result<Value, String> {
    if value.is_empty() {
        return Err("expected a value, found nothing".to_owned());
    }
    if value.contains('"') {
        return Err(format!("values are written without quotes: `{}`", Shortened(value.trim_matches('"'))));
    }
    if !value.contains('\\') {
        return Ok(value.into());
    }
    let quoted = format!("\"{value}\"");
    json::parse_value(&quoted, |_| super::Position::whole(""))
        .map_err(|_| format!("a backslash has to be written twice: `{}`", Shortened(value)))
}

/// Reads a JSON map that begins at `begin`; also says where the line after it begins.
fn read_map(text: &str, begin: usize, lines: &Lines<'_>) -> (usize, Result<Value, Finding>) {
    let blanked = json::blank_comments(text.get(begin..).unwrap_or_default());
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for (at, byte) in blanked.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            // A string never spans lines, so a forgotten quote spoils one line only.
            b'\n' => in_string = false,
            b'{' if !in_string => depth += 1,
            b'}' if !in_string => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    let map = blanked.get(..=at).unwrap_or_default();
                    let after = blanked.get(at + 1..).unwrap_or_default();
                    let line = after.split_inclusive('\n').next().unwrap_or_default();
                    let junk = line.split('#').next().unwrap_or_default().trim().trim_start_matches(',');
                    let end = begin + at + 1 + line.len();
                    if !junk.is_empty() {
                        let finding = Finding::new(
                            lines.position(begin + at + 1),
                            format!("expected the end of the line after `}}`, found `{}`", Shortened(junk)),
                        );
                        return (end, Err(finding));
                    }
                    return (end, json::parse_value(map, |offset| lines.position(begin + offset)));
                }
            }
            _ => {}
        }
    }
    (text.len(), Err(Finding::new(lines.position(begin), "this map has no `}` at its end")))
}
