//! What `/metrics` shows, as OTLP. Names, labels and values are the same there and here.

use super::proto::{
    CUMULATIVE, Data, Gauge, KeyValue, Metric, MetricsRequest, Number, Point, Resource, ResourceMetrics, Scope,
    ScopeMetrics, Sum,
};
use crate::observe::{Family, Kind, MetricSet};

/// The request that pushes metrics. `start`: when the router began to count; `now`: both in nanoseconds since 1970.
pub(super) fn request(set: &MetricSet, resource: &Resource, scope: &Scope, start: u64, now: u64) -> MetricsRequest {
    let metrics = set.families().map(|(family, points)| {
        let points = points.iter().map(|point| Point {
            start_time_unix_nano: if family.kind == Kind::Counter { start } else { 0 },
            time_unix_nano: now,
            value: Some(Number::Int(i64::try_from(point.value).unwrap_or(i64::MAX))),
            attributes: family
                .labels
                .iter()
                .zip(&point.labels)
                .map(|(key, value)| KeyValue::text(key, value))
                .collect(),
        });
        let data_points = points.collect();
        let data = match family.kind {
            Kind::Counter => Data::Sum(Sum { data_points, aggregation_temporality: CUMULATIVE, is_monotonic: true }),
            Kind::Gauge => Data::Gauge(Gauge { data_points }),
        };
        Metric {
            name: family.name.to_owned(),
            description: family.help.to_owned(),
            unit: unit(family),
            data: Some(data),
        }
    });
    let metrics = ScopeMetrics { scope: Some(scope.clone()), metrics: metrics.collect() };
    MetricsRequest {
        resource_metrics: vec![ResourceMetrics { resource: Some(resource.clone()), scope_metrics: vec![metrics] }],
    }
}

/// The unit as UCUM has it. Only where the name says the unit, too: collectors append it to the names that Prometheus gets otherwise.
fn unit(family: &Family) -> String {
    match family.unit {
        "bytes" if family.name.contains("bytes") => "By".to_owned(),
        "seconds" if family.name.contains("seconds") => "s".to_owned(),
        "bytes" | "seconds" | "seconds since 1970" | "1" | "1 or 0" | "cost" => String::new(),
        // A remark, which stands for 1.
        what => format!("{{{}}}", what.replace(' ', "_")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::tests::small_set;

    #[test]
    fn a_metric_is_the_same_in_both_formats() {
        let set = small_set();
        let scope = Scope { name: "spanway".to_owned(), version: "1".to_owned() };
        let request = request(&set, &Resource::default(), &scope, 5, 9);
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        let names: Vec<_> = metrics.iter().map(|metric| (metric.name.as_str(), metric.unit.as_str())).collect();
        assert_eq!(names, [("qdr_links_total", "{links}"), ("spanway_link_bytes_total", "By")]);
        let Some(Data::Gauge(links)) = &metrics[0].data else { panic!("{:?}", metrics[0]) };
        assert_eq!((&links.data_points[0].value, links.data_points[0].time_unix_nano), (&Some(Number::Int(1)), 9));
        let Some(Data::Sum(bytes)) = &metrics[1].data else { panic!("{:?}", metrics[1]) };
        assert!(bytes.is_monotonic && bytes.aggregation_temporality == CUMULATIVE);
        let labels = ["router", "role", "direction"].iter().zip(["B", "edge", "in"]);
        let point = &bytes.data_points[0];
        assert_eq!(point.attributes, labels.map(|(key, value)| KeyValue::text(key, value)).collect::<Vec<_>>());
        assert_eq!((point.start_time_unix_nano, &point.value), (5, &Some(Number::Int(7))));
        let text = set.encode();
        assert!(text.contains("spanway_link_bytes_total{router=\"B\",role=\"edge\",direction=\"in\"} 7\n"), "{text}");
    }

    #[test]
    fn units_are_in_the_names() {
        for family in crate::observe::FAMILIES {
            let unit = unit(family);
            assert!(unit.is_empty() || unit.starts_with('{') || unit == "By" || unit == "s", "{unit}");
            assert!(family.unit != "bytes" || unit == "By", "{}", family.name);
        }
    }
}
