//! `spanway service`: the services of the network, as a router's catalogue has them.

use amqp_proto::Value;
use anyhow::{Result, bail};

use crate::cli::output::Format;
use crate::cli::service::{AskArgs, ServiceArgs, ServiceCommand};
use crate::client::entities::{Entities, Line};
use crate::client::format::{csv, json, plain};
use crate::client::management::{Manager, Query};
use crate::client::report::print;
use crate::client::table::{Align, aligned, shown};
use crate::client::{Interrupts, block_on};

/// The type of the entities.
const SERVICE: &str = "service";
/// How many sites of a service a table names.
const SITES: usize = 4;

/// Does what the command line asks.
pub(crate) fn run(args: &ServiceArgs) -> Result<()> {
    let (ask, address) = match &args.command {
        ServiceCommand::List(list) => (&list.ask, None),
        ServiceCommand::Show(show) => (&show.ask, Some(show.address.as_str())),
    };
    ask.agent.connect.check_or_exit();
    let mut entities = block_on(async {
        let mut interrupts = Interrupts::new()?;
        tokio::select! {
            entities = query(ask) => entities,
            () = interrupts.wait() => bail!("interrupted before the router answered"),
        }
    })?;
    if let Some(address) = address {
        let Entities { columns, rows } = &mut entities;
        rows.retain(|cells| Line { columns, cells }.str("address") == address);
        if rows.is_empty() {
            bail!("no site exposes or wants `{address}`; `spanway service list` shows what there is");
        }
    }
    let text = match (ask.output, address) {
        (Format::Json, _) => json(&[&entities]),
        (Format::Csv, _) => csv(&[&entities]),
        (Format::Table, None) => list(&entities),
        (Format::Table, Some(_)) => details(&entities),
    };
    print(&text).map(drop)
}

async fn query(args: &AskArgs) -> Result<Entities> {
    let mut manager = Manager::connect(&args.agent.connect, SERVICE).await?;
    let entities = manager.query(&args.agent.whose(), Query::all(SERVICE)).await?;
    // Everything is here; how the router says goodbye does not matter.
    let _ = manager.close().await;
    Ok(entities)
}

/// Names of the sites of a service that have this role, the first few of them.
fn sites(service: &Line<'_>, role: &str) -> String {
    let places = service.get("places").as_list().unwrap_or_default();
    let of_role: Vec<&Value> = places.iter().filter(|place| field(place, "role").as_str() == Some(role)).collect();
    let mut names: Vec<String> = of_role.iter().take(SITES).map(|place| cell(place, "siteName")).collect();
    if of_role.len() > SITES {
        names.push(format!("+{}", of_role.len() - SITES));
    }
    some(names.join(" "))
}

fn field<'a>(place: &'a Value, name: &str) -> &'a Value {
    place.get(name).unwrap_or(&Value::Null)
}

fn cell(place: &Value, name: &str) -> String {
    shown(&plain(field(place, name)))
}

fn some(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn ports(value: &Value) -> String {
    some(value.as_list().unwrap_or_default().iter().map(plain).collect::<Vec<_>>().join(" "))
}

fn labels(value: &Value) -> String {
    let labels = value.as_map().unwrap_or_default();
    let label = |(key, value): &(Value, Value)| shown(&format!("{}={}", plain(key), plain(value)));
    some(labels.iter().map(label).collect::<Vec<_>>().join(" "))
}

/// A line for each service.
fn list(entities: &Entities) -> String {
    if entities.rows.is_empty() {
        return "no services: no site exposes or wants any\n".to_owned();
    }
    let heads = ["address", "protocol", "ports", "exposed by", "wanted by", "labels"].map(|head| (head, Align::Left));
    let row = |service: Line<'_>| {
        vec![
            service.text("address"),
            service.text("protocol"),
            ports(service.get("ports")),
            sites(&service, "exposes"),
            sites(&service, "wants"),
            labels(service.get("labels")),
        ]
    };
    aligned(&heads, &entities.lines().map(row).collect::<Vec<_>>())
}

/// A line for each site, under what it is that it exposes or wants.
fn details(entities: &Entities) -> String {
    let heads = [
        ("site", Align::Left),
        ("router", Align::Left),
        ("role", Align::Left),
        ("count", Align::Right),
        ("ports", Align::Left),
        ("labels", Align::Left),
    ];
    let one = |service: Line<'_>| {
        let row = |place: &Value| {
            vec![
                cell(place, "siteName"),
                cell(place, "site"),
                cell(place, "role"),
                cell(place, "count"),
                ports(field(place, "ports")),
                labels(field(place, "labels")),
            ]
        };
        let rows: Vec<_> = service.get("places").as_list().unwrap_or_default().iter().map(row).collect();
        format!("{} ({})\n{}", service.text("address"), service.text("protocol"), aligned(&heads, &rows))
    };
    entities.lines().map(one).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, Value)]) -> Value {
        Value::Map(entries.iter().map(|(key, value)| ((*key).into(), value.clone())).collect())
    }

    fn place(site: &str, role: &str, port: i64, labels: &[(&str, Value)]) -> Value {
        map(&[
            ("site", site.into()),
            ("siteName", format!("{site}-town").into()),
            ("role", role.into()),
            ("count", 1_i64.into()),
            ("ports", Value::List(vec![port.into()])),
            ("labels", map(labels)),
        ])
    }

    fn entities() -> Entities {
        let team = [("team", Value::from("db\u{1b}"))];
        let mut places: Vec<Value> = "ABCDEF".chars().map(|c| place(&c.to_string(), "exposes", 80, &[])).collect();
        places.push(place("G", "wants", 8080, &team));
        Entities {
            columns: ["address", "protocol", "ports", "labels", "places"].map(str::to_owned).to_vec(),
            rows: vec![vec![
                "web".into(),
                "tcp".into(),
                Value::List(vec![80_i64.into()]),
                map(&team),
                Value::List(places),
            ]],
        }
    }

    #[test]
    fn a_list_names_some_sites() {
        assert_eq!(
            list(&entities()),
            "address  protocol  ports  exposed by                      wanted by  labels\n\
             web      tcp       80     A-town B-town C-town D-town +2  G-town     team=db\\u{1b}\n"
        );
        assert!(list(&Entities::default()).starts_with("no services"));
    }

    #[test]
    fn details_name_all() {
        let text = details(&entities());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 9, "{text}");
        assert_eq!(lines[0], "web (tcp)");
        assert_eq!(lines[1], "site    router  role     count  ports  labels");
        assert_eq!(lines[8], "G-town  G       wants        1  8080   team=db\\u{1b}");
    }
}
