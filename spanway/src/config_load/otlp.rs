//! The collector: from the flag, and from the variables that OpenTelemetry has for it.

use router_core::config::{Flag, Section};
use router_core::entity::EntityKind;

use super::LoadError;

/// Variables and the attributes that they set.
const VARIABLES: [(&str, &str); 3] = [
    ("OTEL_EXPORTER_OTLP_HEADERS", "headers"),
    ("OTEL_SERVICE_NAME", "serviceName"),
    ("OTEL_RESOURCE_ATTRIBUTES", "resourceAttributes"),
];

/// Adds what flag and environment say of a collector to what is written in the file. The flag is stronger than the environment, and that
/// than the file.
///
/// # Errors
/// A variable has a value that is of no use here.
pub(super) fn merge_into(
    sections: &mut Vec<Section>,
    flag: Option<&Flag>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(), LoadError> {
    // An empty one is as none.
    let variable = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let disabled = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let variable = |name: &str| variable(name).filter(|_| !disabled);
    let written = |sections: &[Section]| {
        sections.iter().any(|section| EntityKind::from_name(&section.name) == Some(EntityKind::Otlp))
    };
    let mut flags: Vec<Flag> = flag.cloned().into_iter().collect();
    if flag.is_none()
        && let Some(url) = variable("OTEL_EXPORTER_OTLP_ENDPOINT")
    {
        let wrong = |error| LoadError::Flags(format!("OTEL_EXPORTER_OTLP_ENDPOINT: {error}"));
        flags.push(Flag::otlp(&url).map_err(wrong)?);
        if let Some(other) = variable("OTEL_EXPORTER_OTLP_PROTOCOL").filter(|protocol| protocol != "http/protobuf") {
            return Err(LoadError::Flags(format!(
                "OTEL_EXPORTER_OTLP_PROTOCOL: expected http/protobuf, found `{other}`: name the port of the collector that takes HTTP, \
                 which is 4318 by default"
            )));
        }
    }
    if flags.is_empty() && !written(sections) {
        return Ok(());
    }
    for (name, attribute) in VARIABLES {
        flags.extend(variable(name).map(|value| Flag::otlp_variable(name, attribute, &value)));
    }
    if let Some(interval) = variable("OTEL_METRIC_EXPORT_INTERVAL") {
        let milliseconds: Option<u32> = interval.parse().ok().filter(|milliseconds| *milliseconds > 0);
        let Some(milliseconds) = milliseconds else {
            let expected = "OTEL_METRIC_EXPORT_INTERVAL: expected milliseconds";
            return Err(LoadError::Flags(format!("{expected}, found `{interval}`")));
        };
        let seconds = milliseconds.div_ceil(1000).to_string();
        flags.push(Flag::otlp_variable("OTEL_METRIC_EXPORT_INTERVAL", "metricsIntervalSeconds", &seconds));
    }
    for (name, attribute) in [("OTEL_METRICS_EXPORTER", "metrics"), ("OTEL_TRACES_EXPORTER", "spans")] {
        if variable(name).is_some_and(|exporter| exporter == "none") {
            flags.push(Flag::otlp_variable(name, attribute, "no"));
        }
    }
    for flag in flags {
        flag.merge_into(sections);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use router_core::config::{Configuration, Syntax, parse};
    use router_core::entity::OtlpEntity;

    use super::*;

    fn load(file: &str, flag: Option<&str>, variables: &[(&str, &str)]) -> Result<Option<OtlpEntity>, String> {
        let mut sections = parse("file", Syntax::Yaml, file).expect("a file");
        let flag = flag.map(|url| Flag::otlp(url).expect("a URL"));
        let value =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        merge_into(&mut sections, flag.as_ref(), value).map_err(|error| error.to_string())?;
        Configuration::build(sections).map(|configuration| configuration.otlp).map_err(|error| error.to_string())
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://env:4318");

    #[test]
    fn flag_then_environment_then_file() {
        let file = "otlp: {endpoint: 'http://file:4318', serviceName: mine, metricsIntervalSeconds: 5}";
        let endpoint =
            |found: Result<Option<OtlpEntity>, String>| found.expect("a configuration").map(|otlp| otlp.endpoint);
        assert_eq!(endpoint(load("", None, &[])), None);
        assert_eq!(endpoint(load(file, None, &[])).as_deref(), Some("http://file:4318"));
        assert_eq!(endpoint(load(file, None, &[ENDPOINT])).as_deref(), Some("http://env:4318"));
        assert_eq!(endpoint(load(file, Some("http://flag:1"), &[ENDPOINT])).as_deref(), Some("http://flag:1"));
        let otlp = load(file, None, &[ENDPOINT]).expect("a configuration").expect("a collector");
        assert_eq!((otlp.service_name.as_str(), otlp.metrics_interval_seconds, otlp.metrics), ("mine", 5, true));
    }

    #[test]
    fn variables_of_open_telemetry() {
        let otlp = load(
            "",
            None,
            &[
                ENDPOINT,
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
                ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20eA=="),
                ("OTEL_SERVICE_NAME", "van"),
                ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
                ("OTEL_METRIC_EXPORT_INTERVAL", "1500"),
                ("OTEL_METRICS_EXPORTER", "none"),
                ("OTEL_TRACES_EXPORTER", "none"),
            ],
        );
        let otlp = otlp.expect("a configuration").expect("a collector");
        assert_eq!(otlp.headers.expect("headers").expose(), "authorization=Basic%20eA==");
        assert_eq!((otlp.service_name.as_str(), otlp.metrics_interval_seconds), ("van", 2));
        assert!(!otlp.metrics && !otlp.spans);
        assert_eq!(otlp.resource_attributes.as_deref(), Some("deployment.environment.name=test"));
        // They do nothing alone, or empty, or when they are not to do anything.
        for without in [
            vec![("OTEL_SERVICE_NAME", "van")],
            vec![("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
            vec![ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")],
        ] {
            assert_eq!(load("", None, &without), Ok(None), "{without:?}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (variables, said) in [
            (
                vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "env:4317")],
                "OTEL_EXPORTER_OTLP_ENDPOINT: expected http://HOST:PORT",
            ),
            (vec![ENDPOINT, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], "expected http/protobuf, found `grpc`"),
            (vec![ENDPOINT, ("OTEL_METRIC_EXPORT_INTERVAL", "soon")], "expected milliseconds, found `soon`"),
            (vec![ENDPOINT, ("OTEL_EXPORTER_OTLP_HEADERS", "topsecret")], "headers: expected NAME=VALUE"),
        ] {
            let error = load("", None, &variables).expect_err("a mistake");
            assert!(error.contains(said) && !error.contains("topsecret"), "{error}");
        }
        for (file, said) in [
            ("otlp: {}", "otlp needs the attribute `endpoint`"),
            ("otlp: {endpoint: x}", "endpoint: expected http://HOST:PORT or https://HOST:PORT"),
            ("otlp: {endpoint: 'http://x', sslProfile: p}\nsslProfile: {name: p}", "sslProfile: expected an endpoint"),
            ("otlp: {endpoint: 'https://x', sslProfile: p}", "sslProfile 'p' not found"),
            ("otlps: [{endpoint: 'http://x'}, {endpoint: 'http://y'}]", "there can only be one otlp"),
            (
                "otlp: {endpoint: 'http://x', metricsIntervalSeconds: 0}",
                "metricsIntervalSeconds: expected a whole number",
            ),
            ("otlp: {endpoint: 'http://x', headers: 'a b=c'}", "headers: expected NAME=VALUE"),
            ("otlp: {endpoint: 'http://x', resourceAttributes: a}", "resourceAttributes: expected NAME=VALUE"),
        ] {
            let error = load(file, None, &[]).expect_err("a mistake");
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn the_page_about_it_has_a_configuration() {
        let page = include_str!("../../../docs/telemetry.md");
        let yaml = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
        let otlp = load(yaml, None, &[]).expect("a configuration").expect("a collector");
        assert_eq!(
            (otlp.ssl_profile.as_deref(), otlp.metrics_interval_seconds, otlp.spans),
            (Some("collector"), 30, false)
        );
    }
}
