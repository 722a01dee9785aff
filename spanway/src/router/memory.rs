//! The line about memory that `skrouterd` writes to its log now and then.

use std::convert::Infallible;
use std::time::Duration;

use transport::WorkerHandle;

use super::worker;
use crate::start::StartedAs;

/// How often, unless the environment says otherwise, in seconds; the reference's.
const PERIOD: u64 = 15 * 60;
const PERIOD_VARIABLE: &str = "SKUPPER_ROUTER_ALLOC_MONITOR_SECS";

/// Writes it for as long as it is polled.
pub(super) async fn report(command: StartedAs, workers: &[WorkerHandle]) -> Infallible {
    let set = std::env::var(PERIOD_VARIABLE).ok().and_then(|text| text.trim().parse().ok());
    let period = match command {
        StartedAs::Run { .. } => 0,
        StartedAs::Skrouterd { .. } => set.unwrap_or(PERIOD),
    };
    if period == 0 {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(Duration::from_secs(period)).await;
        let mut pool = 0;
        for worker in workers {
            pool += worker.call(worker::held).await.unwrap_or(0);
        }
        tracing::info!(target: "ROUTER", "{}", line(pool));
    }
}

/// What the machine has, what of it this process has, and what of that is for content.
fn line(pool: u64) -> String {
    let of = |bytes: Option<u64>| size(bytes.unwrap_or(0));
    format!(
        "ram:{} vm:{} rss:{} pool:{}",
        of(transport::memory::limit()),
        of(transport::memory::virtual_size()),
        of(transport::memory::resident()),
        size(pool)
    )
}

/// A number of bytes with a unit, and two digits behind the point.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut number = bytes as f64;
    let mut units = UNITS.into_iter();
    let mut unit = units.next().unwrap_or_default();
    for next in units {
        if number < 1024.0 {
            break;
        }
        (number, unit) = (number / 1024.0, next);
    }
    format!("{number:.2}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_point_and_a_unit() {
        let sizes = [0, 1023, 1024, 3789, 1 << 30, u64::MAX].map(size);
        assert_eq!(sizes, ["0.00B", "1023.00B", "1.00KiB", "3.70KiB", "1.00GiB", "16777216.00TiB"]);
    }

    #[test]
    fn the_line_says_four_numbers() {
        let line = line(5);
        let names: Vec<&str> = line.split(' ').filter_map(|part| part.split(':').next()).collect();
        assert_eq!(names, ["ram", "vm", "rss", "pool"]);
        assert!(line.ends_with(" pool:5.00B") && !line.contains(":0.00B"), "{line}");
    }
}
