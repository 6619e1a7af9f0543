//! Figures as Markdown.

use crate::figures::{Spread, added, ratio, spread};
use crate::samples::{Program, Round, Sample};

/// What stands where there is no figure.
const NONE: &str = "–";

/// All candidates with one body. The first is the base of the ratios.
pub fn of_body(body: &str, rounds: &[&Round], names: &[&str], rate: u32) -> String {
    let base = names.first().copied().unwrap_or_default();
    let (bytes, connections) = rounds.first().map_or((0, 0), |round| (round.bytes, round.connections));
    let (times_cpu, times_calls) = (format!("CPU, times {base}'s"), format!("calls, times {base}'s"));
    let at_rate = format!("CPU µs a call at {rate}/s");
    let head = [
        "",
        "CPU µs a call",
        "(min–max)",
        &times_cpu,
        "calls/s",
        &times_calls,
        "its core busy",
        &at_rate,
        "added p50 µs",
        "p99",
        "p99.9",
        "errors",
    ];
    let rows = names.iter().map(|name| {
        let of = |figure: fn(&Sample) -> f64| spread(rounds, name, figure);
        let cpu = of(|sample| sample.cpu_us);
        let errors: u64 = rounds.iter().filter_map(|round| round.of(name)).map(|sample| sample.errors).sum();
        vec![
            (*name).to_owned(),
            figure(cpu.map(|cpu| cpu.median), 1),
            ends(cpu, 1),
            figure(ratio(rounds, name, base, |sample| sample.cpu_us), 2),
            thousands(of(|sample| sample.calls_per_second)),
            figure(ratio(rounds, name, base, |sample| sample.calls_per_second), 2),
            percent(of(|sample| sample.busy)),
            median(of(|sample| sample.cpu_us_at_rate), 1),
            figure(added(rounds, name, |latencies| latencies.p50), 0),
            figure(added(rounds, name, |latencies| latencies.p99), 0),
            figure(added(rounds, name, |latencies| latencies.p999), 0),
            errors.to_string(),
        ]
    });
    let direct = |quantile: fn(&Round) -> f64| median(Spread::of(rounds.iter().map(|round| quantile(round))), 0);
    format!(
        "### {body}: {bytes} bytes, {connections} connections\n\n{}\nThe policy call alone, made by tonic: p50 {}, p99 {}, p99.9 {} µs.\n",
        markdown(&head, rows),
        direct(|round| round.direct.p50),
        direct(|round| round.direct.p99),
        direct(|round| round.direct.p999)
    )
}

/// What does not depend on the load: memory, starts, sizes. Over all bodies.
pub fn of_programs(programs: &[Program], rounds: &[Round]) -> String {
    let head = ["", "idle MiB", "peak MiB", "start to first allow, ms", "(min–max)", "binary MiB"];
    let rounds: Vec<&Round> = rounds.iter().collect();
    let rows = programs.iter().map(|program| {
        let of = |figure: fn(&Sample) -> f64| spread(&rounds, &program.candidate, figure);
        let start = of(|sample| sample.start_ms);
        vec![
            program.candidate.clone(),
            median(of(|sample| sample.idle_mib), 1),
            figure(of(|sample| sample.peak_mib).map(|peak| peak.max), 1),
            median(start, 1),
            ends(start, 1),
            figure(program.mib, 1),
        ]
    });
    format!("### Memory, start and size\n\n{}", markdown(&head, rows))
}

/// A table whose figures are to the right.
pub fn markdown(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n|---|{}\n", head.join(" | "), "--:|".repeat(head.len() - 1));
    for row in rows {
        text += &format!("| {} |\n", row.join(" | "));
    }
    text
}

fn median(spread: Option<Spread>, digits: usize) -> String {
    figure(spread.map(|spread| spread.median), digits)
}

pub fn figure(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| format!("{value:.digits$}"))
}

pub fn ends(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or_else(|| NONE.to_owned(), |spread| format!("{:.digits$}–{:.digits$}", spread.min, spread.max))
}

fn percent(spread: Option<Spread>) -> String {
    spread.map_or_else(|| NONE.to_owned(), |spread| format!("{:.0}%", spread.median * 100.0))
}

fn thousands(spread: Option<Spread>) -> String {
    let Some(spread) = spread else { return NONE.to_owned() };
    let whole = format!("{:.0}", spread.median);
    let first = whole.len() % 3;
    let mut text = whole[..first].to_owned();
    for three in whole.as_bytes()[first..].chunks(3) {
        if !text.is_empty() {
            text.push(',');
        }
        text.extend(three.iter().map(|digit| char::from(*digit)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::tests::round;

    #[test]
    fn a_row_for_each_candidate() {
        let rounds =
            [round(1, &[("hookgate", 20.0), ("by hand", 40.0)]), round(2, &[("hookgate", 30.0), ("by hand", 60.0)])];
        let table = of_body("small", &rounds.iter().collect::<Vec<_>>(), &["hookgate", "by hand", "Envoy"], 1000);
        let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
        assert_eq!(
            rows[0],
            "| hookgate | 25.0 | 20.0–30.0 | 1.00 | 41,667 | 1.00 | 99% | 50.0 | 50 | 100 | -100 | 0 |"
        );
        assert!(rows[1].starts_with("| by hand | 50.0 | 40.0–60.0 | 2.00 | 20,833 | 0.50 |"), "{}", rows[1]);
        assert_eq!(rows[2], "| Envoy | – | – | – | – | – | – | – | – | – | – | 0 |");
        let columns = |line: &str| line.matches('|').count();
        assert!(table.lines().filter(|line| line.starts_with('|')).all(|line| columns(line) == columns(rows[0])));
    }
}
