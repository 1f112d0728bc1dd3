//! Curves as an SVG picture: counts on a logarithmic axis, what they cost on a linear one from zero.

use std::fmt::Write;

/// One set of axes.
pub struct Panel {
    pub title: &'static str,
    pub unit: &'static str,
    /// What is counted along the axis.
    pub by: &'static str,
    pub series: Vec<Series>,
}

/// One curve.
pub struct Series {
    pub name: String,
    pub points: Vec<(u64, f64)>,
}

const COLUMNS: usize = 3;
const CELL: (f64, f64) = (330.0, 250.0);
/// Of the axes within their cell: left, top, width, height.
const AXES: (f64, f64, f64, f64) = (62.0, 44.0, 240.0, 150.0);
/// Dark enough on white, apart also without colour by their dashes.
const STYLES: [&str; 2] = [
    r##"stroke="#8a5a00" stroke-dasharray="5 3""##,
    r##"stroke="#0b5cad""##,
];
const COLOURS: [&str; 2] = ["#8a5a00", "#0b5cad"];

pub fn draw(panels: &[Panel]) -> String {
    let rows = panels.len().div_ceil(COLUMNS);
    let (width, height) = (CELL.0 * COLUMNS as f64, CELL.1 * rows as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\" fill=\"#222\">\n\
         <title>What simrelay costs by number of connections, SIMs and groups</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (number, panel) in panels.iter().enumerate() {
        let x = CELL.0 * (number % COLUMNS) as f64;
        let y = CELL.1 * (number / COLUMNS) as f64;
        let _ = writeln!(svg, "<g transform=\"translate({x} {y})\">");
        panel.draw(&mut svg);
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

impl Panel {
    fn draw(&self, svg: &mut String) {
        let (left, top, width, height) = AXES;
        let (right, bottom) = (left + width, top + height);
        text(
            svg,
            left,
            18.0,
            "start",
            r#"font-weight="bold" font-size="12""#,
            self.title,
        );
        text(svg, left, 34.0, "start", "", self.unit);
        let _ = writeln!(
            svg,
            "<path d=\"M{left} {top}V{bottom}H{right}\" fill=\"none\" stroke=\"#222\"/>"
        );
        let counts = self.counts();
        let (Some(least), Some(most)) = (counts.first(), counts.last()) else {
            return;
        };
        let (least, most) = ((*least as f64).ln(), (*most as f64).ln());
        let x = |count: u64| left + width * ((count as f64).ln() - least) / (most - least).max(1e-9);
        let (step, steps) = self.scale();
        let y = |value: f64| bottom - height * value / (step * steps as f64);
        for tick in 0..=steps {
            let value = step * tick as f64;
            let at = y(value);
            let _ = writeln!(svg, "<path d=\"M{left} {at:.1}H{right}\" stroke=\"#ddd\"/>");
            text(svg, left - 6.0, at + 4.0, "end", "", &label(value));
        }
        for &count in &counts {
            let at = x(count);
            let _ = writeln!(svg, "<path d=\"M{at:.1} {bottom}v5\" stroke=\"#222\"/>");
            text(svg, at, bottom + 17.0, "middle", "", &label(count as f64));
        }
        text(svg, left + width / 2.0, bottom + 33.0, "middle", "", self.by);
        for (number, series) in self.series.iter().enumerate() {
            // A curve that is alone is simrelay's.
            let style = if self.series.len() == 1 { 1 } else { number % 2 };
            let path: Vec<_> = series
                .points
                .iter()
                .map(|(count, value)| format!("{:.1},{:.1}", x(*count), y(*value)))
                .collect();
            let points = path.join(" ");
            let _ = writeln!(
                svg,
                "<polyline points=\"{points}\" fill=\"none\" stroke-width=\"2\" {}/>",
                STYLES[style]
            );
            for point in path {
                let (x, y) = point.split_once(',').unwrap();
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{x}\" cy=\"{y}\" r=\"2.5\" fill=\"{}\"/>",
                    COLOURS[style]
                );
            }
            let colour = format!("fill=\"{}\" font-weight=\"bold\"", COLOURS[style]);
            let across = right - 62.0 * (self.series.len() - 1 - number) as f64;
            text(svg, across, 34.0, "end", &colour, &series.name);
        }
    }

    fn counts(&self) -> Vec<u64> {
        let points = self.series.iter().flat_map(|series| &series.points);
        let mut counts: Vec<_> = points.map(|(count, _)| *count).collect();
        counts.sort_unstable();
        counts.dedup();
        counts
    }

    /// How far apart the lines of the linear axis are, and how many there are.
    fn scale(&self) -> (f64, usize) {
        let points = self.series.iter().flat_map(|series| &series.points);
        let most = points.map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
        let power = 10_f64.powf((most / 4.0).log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .map(|factor| factor * power)
            .into_iter()
            .find(|step| step * 4.0 >= most)
            .unwrap_or(power * 10.0);
        (step, (most / step).ceil().max(1.0) as usize)
    }
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, style: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {style}>{text}</text>"
    );
}

/// With a comma between thousands.
fn label(value: f64) -> String {
    if value < 10.0 && value.fract() != 0.0 {
        return format!("{}", (value * 1000.0).round() / 1000.0);
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
