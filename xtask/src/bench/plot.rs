//! Plots as SVG: bars of ratios with their intervals, and lines over a quantity, as peers or flows.
//!
//! Without fonts at hand a text's width is estimated; labels have room for that.

use std::ops::Range;

use anyhow::{Context as _, Result};
use plotters::{
    coord::{Shift, types::RangedCoordf64},
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use vxlan_tests::bench::{self, Better, Estimate, Measured, Role};

use super::text;

/// A plot and the name of its file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plot {
    pub(super) file: String,
    pub(super) title: String,
    pub(super) svg: String,
}

const WIDTH: u32 = 860;
const BAR_HEIGHT: u32 = 20;
const MARGIN: u32 = 10;
/// Room for the axis and its caption.
const AXIS: u32 = 50;
/// Room for the names of bars.
const NAMES: u32 = 330;
const LINE_HEIGHT: u32 = 420;
const FONT: (&str, u32) = ("sans-serif", 13);
const CAPTION: (&str, u32) = ("sans-serif", 16);

const OURS: RGBColor = RGBColor(0, 95, 175);
const KERNEL: RGBColor = RGBColor(130, 130, 130);
const CEILING: RGBColor = RGBColor(120, 180, 120);
const FLOOR: RGBColor = RGBColor(200, 200, 200);
/// Of lines; more lines than colours begin again.
const LINES: [RGBColor; 5] =
    [OURS, RGBColor(200, 80, 0), KERNEL, RGBColor(0, 140, 90), RGBColor(150, 70, 160)];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Bars for a section: every arm that is compared with another one, none where nothing is.
pub(super) fn bars(section: &str, benches: &[&Measured]) -> Result<Option<Plot>> {
    let bars: Vec<Bar> = benches.iter().flat_map(|measured| bars_of(measured)).collect();
    if bars.is_empty() {
        return Ok(None);
    }
    let title = format!("{section}: how many times as good (95 % interval)");
    let height = bars.len() as u32 * BAR_HEIGHT + AXIS + 3 * MARGIN + 20;
    let svg = draw((WIDTH, height), |area| draw_bars(area, &title, &bars))?;
    Ok(Some(Plot { file: format!("{section}.svg"), title, svg }))
}

/// The lines of a benchmark, if its arms are points.
pub(super) fn lines(measured: &Measured) -> Result<Option<Plot>> {
    let bench = &measured.bench;
    let mut lines: Vec<Line> = Vec::new();
    let mut axis = "";
    for arm in &bench.arms {
        let (Some(point), Some(value)) = (&arm.point, bench::value(measured, &arm.name)) else {
            continue;
        };
        axis = &point.axis;
        let at = lines.iter().position(|line| line.name == point.line).unwrap_or_else(|| {
            lines.push(Line { name: &point.line, points: Vec::new() });
            lines.len() - 1
        });
        lines[at].points.push((point.x, value));
    }
    if lines.is_empty() {
        return Ok(None);
    }
    let better = match bench.better {
        Better::Less => "less is better",
        Better::More => "more is better",
    };
    let title = format!("{}: {} ({better})", bench.name, bench.unit);
    let svg = draw((WIDTH, LINE_HEIGHT), |area| draw_lines(area, &title, axis, &lines))?;
    Ok(Some(Plot { file: format!("{}.svg", bench.name.replace('/', "-")), title, svg }))
}

struct Bar {
    name: String,
    role: Role,
    ratio: Estimate,
}

struct Line<'a> {
    name: &'a str,
    points: Vec<(f64, Estimate)>,
}

fn bars_of(measured: &Measured) -> Vec<Bar> {
    let bench = &measured.bench;
    let compared = bench.arms.iter().filter_map(|arm| {
        let base = bench.baseline_of(arm)?;
        let ratio = bench::ratio(measured, &arm.name, base)?;
        let name = bench.name.split_once('/').map_or("", |(_, rest)| rest);
        Some(Bar { name: format!("{name}: {} / {base}", arm.name), role: arm.role, ratio })
    });
    compared.collect()
}

fn draw(size: (u32, u32), fill: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        fill(&area.margin(MARGIN, MARGIN, MARGIN, MARGIN))?;
        area.present()?;
    }
    Ok(svg.trim_end().to_owned() + "\n")
}

fn draw_bars(area: &Area<'_>, title: &str, bars: &[Bar]) -> Result<()> {
    let area = area.titled(title, CAPTION)?;
    let count = bars.len() as f64;
    let highest = bars.iter().map(|bar| bar.ratio.high).fold(1.2, f64::max);
    // The first bar on top.
    let mut chart = ChartBuilder::on(&area)
        .x_label_area_size(AXIS)
        .margin_left(NAMES)
        .margin_right(2 * MARGIN)
        .build_cartesian_2d(0.0..highest * 1.05, count..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .max_light_lines(1)
        .light_line_style(WHITE)
        .x_labels(12)
        .x_desc("1 = the one it is compared with")
        .label_style(FONT)
        .draw()?;
    let right = Pos::new(HPos::Right, VPos::Center);
    for (row, bar) in bars.iter().enumerate() {
        let (top, bottom) = (row as f64 + 0.15, row as f64 + 0.85);
        let middle = f64::midpoint(top, bottom);
        let Estimate { median, low, high, .. } = bar.ratio;
        let color = match bar.role {
            Role::Ours => OURS,
            Role::Kernel => KERNEL,
            Role::Ceiling => CEILING,
            Role::Floor => FLOOR,
        };
        chart.draw_series([Rectangle::new([(0.0, top), (median, bottom)], color.filled())])?;
        chart.draw_series([PathElement::new([(low, middle), (high, middle)], BLACK)])?;
        for end in [low, high] {
            let bounds = [(end, middle - 0.2), (end, middle + 0.2)];
            chart.draw_series([PathElement::new(bounds, BLACK)])?;
        }
        // Names stand left of the axis, on the area around the chart.
        let (x, y) = chart.backend_coord(&(0.0, middle));
        let (left, upper) = area.get_base_pixel();
        let style = TextStyle::from(FONT).pos(right);
        area.draw_text(&bar.name, &style, (x - left - 6, y - upper))?;
    }
    chart.draw_series([PathElement::new([(1.0, 0.0), (1.0, count)], BLACK)])?;
    Ok(())
}

fn draw_lines(area: &Area<'_>, title: &str, axis: &str, lines: &[Line<'_>]) -> Result<()> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let span = |values: &mut dyn Iterator<Item = f64>| -> Option<Range<f64>> {
        let first = values.next()?;
        let (low, high) =
            values.fold((first, first), |(low, high), value| (low.min(value), high.max(value)));
        Some(low..high)
    };
    let x = span(&mut points().map(|(x, _)| *x)).context("a plot without a point")?;
    let highest = points().map(|(_, value)| value.high).fold(0.0, f64::max);
    let area = area.titled(title, CAPTION)?;
    let mut chart = ChartBuilder::on(&area)
        .x_label_area_size(AXIS)
        .y_label_area_size(70)
        .margin_right(2 * MARGIN)
        .build_cartesian_2d(
            (x.start.max(1.0)..x.end.max(2.0) * 1.1).log_scale(),
            RangedCoordf64::from(0.0..highest * 1.1),
        )?;
    chart
        .configure_mesh()
        .x_desc(axis)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| text::number(*y))
        .max_light_lines(1)
        .light_line_style(WHITE)
        .label_style(FONT)
        .draw()?;
    for (line, &color) in lines.iter().zip(LINES.iter().cycle()) {
        let medians = line.points.iter().map(|(x, value)| (*x, value.median));
        chart
            .draw_series(LineSeries::new(medians, color.stroke_width(2)))?
            .label(line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
        chart.draw_series(line.points.iter().map(|(x, value)| {
            ErrorBar::new_vertical(*x, value.low, value.median, value.high, color.filled(), 8)
        }))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .label_font(FONT)
        .draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use vxlan_tests::bench::Arm;

    use super::{super::sample, *};

    #[test]
    fn each_compared_arm_has_a_bar_with_its_name() -> Result<()> {
        let report = sample::with_spread(1.25, 0.1);
        let plot = bars("receive", &[&report.measurement.benches[0]])?.context("a plot")?;
        assert_eq!(plot.file, "receive.svg");
        for name in ["sink/64B: native / kernel", "sink/64B: none / kernel"] {
            assert_eq!(plot.svg.matches(name).count(), 1, "{}", plot.svg);
        }
        assert!(plot.svg.starts_with("<svg ") && plot.svg.ends_with("</svg>\n"));
        assert!(!plot.svg.contains("NaN") && !plot.svg.contains("inf"));
        assert_eq!(bars("receive", &[])?, None);
        Ok(())
    }

    #[test]
    fn points_become_lines_and_a_bench_without_points_none() -> Result<()> {
        let mut report = sample::report(1.25);
        let measured = &mut report.measurement.benches[0];
        assert_eq!(lines(measured)?, None);
        let arms = [("native", "ours", 1.0), ("kernel", "ours", 10_000.0), ("none", "kernel", 1.0)];
        measured.bench.arms =
            arms.map(|(arm, line, x)| Arm::new(arm, Role::Ours).at(line, "peers", x)).to_vec();
        let plot = lines(measured)?.context("a plot")?;
        assert_eq!(plot.file, "receive-sink-64B.svg");
        for text in ["ours", "kernel", "peers", "ns/packet (less is better)"] {
            assert!(plot.svg.contains(text), "{text}: {}", plot.svg);
        }
        assert!(!plot.svg.contains("NaN") && !plot.svg.contains("inf"));
        Ok(())
    }

    #[test]
    fn the_same_report_gives_the_same_plot() -> Result<()> {
        let report = sample::with_spread(1.25, 0.1);
        let plot = || bars("receive", &[&report.measurement.benches[0]]);
        assert_eq!(plot()?, plot()?);
        Ok(())
    }
}
