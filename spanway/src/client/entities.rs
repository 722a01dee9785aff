//! Entities as an agent tells of them: a table whose columns are attributes.

use amqp_proto::Value;

use super::format::plain;
use super::report::Size;
use super::table::{duration, shown};

/// Entities as a QUERY answers them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Entities {
    /// Names of the attributes.
    pub(crate) columns: Vec<String>,
    /// A value for each attribute.
    pub(crate) rows: Vec<Vec<Value>>,
}

/// One entity.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    /// Names of the attributes.
    pub(crate) columns: &'a [String],
    /// Their values.
    pub(crate) cells: &'a [Value],
}

impl Entities {
    /// Reads the body of a QUERY's answer; `None` if it is none.
    pub(crate) fn decode(body: Value) -> Option<Self> {
        let columns = body.get("attributeNames")?.as_list()?;
        let columns = columns.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()?;
        let Value::Map(entries) = body else { return None };
        let results = entries.into_iter().find(|(key, _)| key.as_str() == Some("results"))?.1;
        let Value::List(results) = results else { return None };
        let row = |result| match result {
            Value::List(cells) => Some(cells),
            _ => None,
        };
        Some(Self { columns, rows: results.into_iter().map(row).collect::<Option<_>>()? })
    }

    /// One entity, from the body of the answer to a READ, CREATE or UPDATE.
    pub(crate) fn of_map(body: Value) -> Self {
        let Value::Map(entries) = body else { return Self::default() };
        let mut columns = Vec::with_capacity(entries.len());
        let mut cells = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            columns.push(plain(&key));
            cells.push(value);
        }
        Self { columns, rows: vec![cells] }
    }

    /// Each entity.
    pub(crate) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.rows.iter().map(|cells| Line { columns: &self.columns, cells })
    }

    /// Puts a column with the same value for all in front.
    pub(crate) fn prepend(&mut self, column: &str, value: &Value) {
        self.columns.insert(0, column.to_owned());
        self.rows.iter_mut().for_each(|row| row.insert(0, value.clone()));
    }

    /// Adds the entities of another agent, which may know other attributes.
    pub(crate) fn append(&mut self, other: Self) {
        if self.columns == other.columns {
            self.rows.extend(other.rows);
            return;
        }
        for name in &other.columns {
            if !self.columns.contains(name) {
                self.columns.push(name.clone());
                self.rows.iter_mut().for_each(|row| row.push(Value::Null));
            }
        }
        let rows = other.lines().map(|line| self.columns.iter().map(|name| line.get(name).clone()).collect());
        self.rows.extend(rows.collect::<Vec<Vec<Value>>>());
    }
}

impl<'a> Line<'a> {
    /// An attribute; null if there is none.
    pub(crate) fn get(&self, name: &str) -> &'a Value {
        let at = self.columns.iter().position(|column| column == name);
        at.and_then(|at| self.cells.get(at)).unwrap_or(&Value::Null)
    }

    /// As text that can be printed; `-` without a value.
    pub(crate) fn text(&self, name: &str) -> String {
        shown(&plain(self.get(name)))
    }

    /// As text that is compared, or asked for.
    pub(crate) fn str(&self, name: &str) -> &'a str {
        self.get(name).as_str().unwrap_or_default()
    }

    /// A count; 0 without a value.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.get(name).as_u64().unwrap_or(0)
    }

    /// A truth value.
    pub(crate) fn yes(&self, name: &str) -> bool {
        self.get(name).as_bool().unwrap_or(false)
    }

    /// A time in seconds.
    pub(crate) fn since(&self, name: &str) -> String {
        self.get(name).as_u64().map_or_else(|| "-".to_owned(), duration)
    }

    /// A number of bytes.
    pub(crate) fn size(&self, name: &str) -> String {
        self.get(name).as_u64().map_or_else(|| "-".to_owned(), |bytes| Size(bytes as f64).to_string())
    }

    /// The address of a lookup key, with a word for classes that clients do not usually see.
    pub(crate) fn address(&self, name: &str) -> String {
        let key = plain(self.get(name));
        let mut letters = key.chars();
        let class = match letters.next() {
            None => return "-".to_owned(),
            Some('M') => return shown(letters.as_str()),
            Some('L') => "local",
            Some('T') => "every router",
            Some('R') => "router",
            Some('H') => "edge",
            Some('N') => "network",
            Some('A') => "area",
            Some(_) => return shown(&key),
        };
        format!("{} ({class})", shown(letters.as_str()))
    }

    /// The address of a lookup key, if it is one that clients use.
    pub(crate) fn client_address(&self, name: &str) -> Option<&'a str> {
        let address = self.str(name).strip_prefix('M')?;
        // Of agents, and what routers tell each other and collectors of flow records.
        let internal = ["$", "_$", "mc/$", "mc/_$", "mc/sfe.", "sfe.", "vfcr."];
        (!internal.iter().any(|prefix| address.starts_with(prefix))).then_some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_agents_with_other_attributes_are_joined() {
        let mut all = Entities { columns: vec!["a".into(), "b".into()], rows: vec![vec![1_i64.into(), "x".into()]] };
        all.append(Entities { columns: vec!["b".into(), "c".into()], rows: vec![vec!["y".into(), true.into()]] });
        all.prepend("router", &"R".into());
        assert_eq!(all.columns, ["router", "a", "b", "c"]);
        assert_eq!(all.rows[0], ["R".into(), 1_i64.into(), "x".into(), Value::Null]);
        assert_eq!(all.rows[1], ["R".into(), Value::Null, "y".into(), true.into()]);
    }

    #[test]
    fn nonsense_is_no_table() {
        assert_eq!(Entities::decode(Value::Null), None);
        let body = Value::Map(vec![
            ("attributeNames".into(), Value::List(vec!["a".into()])),
            ("results".into(), Value::List(vec![1_i64.into()])),
        ]);
        assert_eq!(Entities::decode(body), None);
    }
}
