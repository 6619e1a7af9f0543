//! What a run found, for people and for files.

use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::figures::Spread;
use crate::machine::Machine;
use crate::samples::{Program, Round};
use crate::{build, chart, table};

#[derive(Serialize)]
pub struct Report {
    pub machine: Machine,
    pub pinned: bool,
    pub rate: u32,
    pub programs: Vec<Program>,
    pub rounds: Vec<Round>,
}

impl Report {
    /// The candidates' names in the order of the tables.
    pub fn names(&self) -> Vec<&str> {
        self.programs.iter().map(|program| program.candidate.as_str()).collect()
    }

    /// The bodies in their order, with the rounds that used them.
    pub fn bodies(&self) -> Vec<(&'static str, Vec<&Round>)> {
        let mut bodies: Vec<(&'static str, Vec<&Round>)> = Vec::new();
        for round in &self.rounds {
            match bodies.iter_mut().find(|(body, _)| *body == round.body) {
                Some((_, rounds)) => rounds.push(round),
                None => bodies.push((round.body, vec![round])),
            }
        }
        bodies
    }

    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for (body, rounds) in self.bodies() {
            text += &table::of_body(body, &rounds, &self.names(), self.rate);
            text.push('\n');
        }
        text += &table::of_programs(&self.programs, &self.rounds);
        text.push('\n');
        text += &self.conditions();
        text
    }

    /// Keeps the tables and the chart beside this package, with the command that made them.
    pub fn write(&self, command: &str) -> Result<()> {
        let place = build::here();
        let results = format!(
            "# Results\n\nMade by `{command}`; [README.md](README.md) tells how to read them.\n\n![CPU time a call](results.svg)\n\n{}\n",
            self.markdown()
        );
        fs::write(place.join("RESULTS.md"), results).context("cannot write RESULTS.md")?;
        fs::write(place.join("results.svg"), chart::draw(self)?).context("cannot write results.svg")
    }

    fn conditions(&self) -> String {
        let Machine { cpu, cores, kernel, versions } = &self.machine;
        let number = self.rounds.iter().map(|round| round.round).max().unwrap_or_default();
        let samples = || self.rounds.iter().flat_map(|round| &round.samples);
        let stolen = Spread::of(samples().map(|sample| sample.stolen * 100.0));
        let stolen = stolen.map_or_else(String::new, |stolen| {
            format!(" Stolen by other machines: {:.1}% (median; {:.1}% at most).", stolen.median, stolen.max)
        });
        let accepted = Spread::of(samples().map(|sample| sample.accepted));
        let accepted = accepted.filter(|accepted| accepted.max > 0.0).map_or_else(String::new, |accepted| {
            format!(" Of a thousand events at most {:.1} were answered before the policy had them.", accepted.max)
        });
        let pinned = if self.pinned {
            "The candidate had a core to itself; the load and the policy shared another."
        } else {
            "No process was tied to a core."
        };
        format!(
            "{cpu}, {cores} cores, Linux {kernel}; {}. Rounds: {number}. {pinned}{accepted}{stolen}",
            versions.join(", ")
        )
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn report(rounds: Vec<Round>) -> Report {
        let candidates = rounds[0].samples.iter().map(|sample| sample.candidate.clone());
        Report {
            machine: Machine { cpu: "a CPU".into(), cores: 2, kernel: "6.1".into(), versions: vec!["rustc 1".into()] },
            pinned: true,
            rate: 1000,
            programs: candidates.map(|candidate| Program { candidate, mib: None }).collect(),
            rounds,
        }
    }

    #[test]
    fn a_report_has_every_table_and_the_conditions() {
        let rounds = vec![crate::figures::tests::round(1, &[("hookgate", 20.0)])];
        let text = report(rounds).markdown();
        for part in
            ["### small: 110 bytes, 16 connections", "### Memory, start and size", "a CPU, 2 cores", "Rounds: 1"]
        {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
    }
}
