//! CPU time a call as a picture: a group of bars for each body, a bar for each candidate.

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::figures::{Spread, spread};
use crate::report::Report;

const SIZE: (u32, u32) = (960, 420);
/// Told apart by those who see few colours too.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 90, 181),
    RGBColor(230, 159, 0),
    RGBColor(150, 150, 150),
    RGBColor(172, 62, 119),
    RGBColor(0, 140, 110),
    RGBColor(86, 180, 233),
    RGBColor(120, 80, 40),
    RGBColor(60, 60, 60),
];
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(40, 40, 40);
/// Of a group's width; the rest is between groups.
const FILLED: f64 = 0.84;

/// An SVG with a background of its own, as a page may be light or dark.
pub fn draw(report: &Report) -> Result<String> {
    let mut svg = String::new();
    draw_into(report, &mut svg).map_err(|error| anyhow!("the chart cannot be drawn: {error}"))?;
    Ok(svg)
}

fn draw_into(report: &Report, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let (names, bodies) = (report.names(), report.bodies());
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let title = area.titled("CPU time a call, µs: less is better", (FONT, 20).into_font().color(&INK))?;
    let (legend, plots) = title.split_vertically(30);
    draw_legend(&legend, &names)?;
    // Each body has a scale of its own: a long message costs ten times a short one.
    for (plot, (body, rounds)) in plots.split_evenly((1, bodies.len())).iter().zip(&bodies) {
        let figures: Vec<Option<Spread>> =
            names.iter().map(|name| spread(rounds, name, |sample| sample.cpu_us)).collect();
        let top = figures.iter().flatten().map(|figure| figure.max).fold(1.0, f64::max) * 1.12;
        let bytes = rounds.first().map_or(0, |round| round.bytes);
        let mut chart = ChartBuilder::on(plot)
            .margin(12)
            .x_label_area_size(30)
            .y_label_area_size(44)
            .build_cartesian_2d(0.0..1.0, 0.0..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(0)
            .y_labels(6)
            .y_label_formatter(&|tick| format!("{tick:.0}"))
            .x_desc(format!("{body}, {bytes} bytes"))
            .axis_desc_style((FONT, 15).into_font().color(&INK))
            .label_style((FONT, 13).into_font().color(&INK))
            .light_line_style(WHITE)
            .bold_line_style(INK.mix(0.15))
            .axis_style(INK.mix(0.6))
            .draw()?;
        let width = 1.0 / names.len() as f64;
        for (index, figure) in figures.iter().enumerate() {
            let Some(figure) = figure else { continue };
            let left = width * (index as f64 + (1.0 - FILLED) / 2.0);
            let (right, middle) = (left + width * FILLED, left + width * FILLED / 2.0);
            let colour = COLOURS[index % COLOURS.len()];
            chart.draw_series([Rectangle::new([(left, 0.0), (right, figure.median)], colour.filled())])?;
            // From the least to the most of all rounds.
            let whisker = [(middle, figure.min), (middle, figure.max)];
            chart.draw_series([PathElement::new(whisker, INK.stroke_width(1))])?;
            let label = (FONT, 13).into_font().color(&INK).pos(Pos::new(HPos::Center, VPos::Bottom));
            let place = (middle, figure.max + top * 0.01);
            chart.draw_series([Text::new(format!("{:.0}", figure.median), place, label)])?;
        }
    }
    area.present()?;
    Ok(())
}

fn draw_legend<DB: DrawingBackend>(
    area: &DrawingArea<DB, plotters::coord::Shift>,
    names: &[&str],
) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    let mut left = 56;
    for (index, name) in names.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        area.draw(&Rectangle::new([(left, 10), (left + 14, 24)], colour.filled()))?;
        let style = (FONT, 15).into_font().color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new((*name).to_owned(), (left + 20, 17), style))?;
        left += 50 + i32::try_from(name.len()).unwrap_or(0) * 8;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::tests::round;
    use crate::report::tests::report;

    #[test]
    fn every_candidate_is_in_the_legend() {
        let svg = draw(&report(vec![round(1, &[("hookgate", 20.0), ("by hand", 40.0)])])).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("hookgate") && svg.contains("by hand"), "{svg}");
    }
}
