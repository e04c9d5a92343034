//! docs/benchmarks.md: its generated parts, which stand between markers, and the files that they
//! show, in docs/benchmarks. What stands outside of the markers is written by hand.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use vxlan_tests::bench::{Machine, Measured, Report};

use super::{
    plot::{self, Plot},
    table::Table,
};

/// Below the root of the workspace.
const PAGE: &str = "docs/benchmarks.md";
const DIRECTORY: &str = "docs/benchmarks";
/// In the directory.
const REPORT: &str = "report.json";

/// The report that the page is made of.
pub(super) fn committed(root: &Path) -> Result<Report> {
    Report::read(&root.join(DIRECTORY).join(REPORT))
}

/// Makes all of it anew from a report, and removes plots that it has not.
pub(super) fn write(root: &Path, report: &Report) -> Result<()> {
    let page = root.join(PAGE);
    let text = fs::read_to_string(&page).with_context(|| page.display().to_string())?;
    let document = Document::new(report)?;
    let text = document.fill(&text)?;
    let directory = root.join(DIRECTORY);
    fs::create_dir_all(&directory)?;
    for entry in fs::read_dir(&directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "svg") {
            fs::remove_file(path)?;
        }
    }
    for Plot { file, svg, .. } in &document.plots {
        fs::write(directory.join(file), svg)?;
    }
    report.write(&directory.join(REPORT))?;
    fs::write(&page, text).with_context(|| page.display().to_string())
}

struct Document {
    /// By the names of their markers.
    parts: [(&'static str, String); 3],
    plots: Vec<Plot>,
}

impl Document {
    fn new(report: &Report) -> Result<Self> {
        let mut plots = Vec::new();
        let mut rows = String::new();
        let benches = &report.measurement.benches;
        for benches in benches.chunk_by(|a, b| section(a) == section(b)) {
            let name = section(&benches[0]);
            rows.push_str(&format!("\n### {name}\n"));
            let flat: Vec<_> = benches.iter().filter(|measured| !has_points(measured)).collect();
            if let Some(plot) = plot::bars(name, &flat)? {
                rows.push_str(&image(&plot));
                plots.push(plot);
            }
            for measured in benches {
                rows.push_str(&format!(
                    "\n**{}**: {}\n",
                    measured.bench.name, measured.bench.condition
                ));
                if let Some(plot) = plot::lines(measured)? {
                    rows.push_str(&image(&plot));
                    plots.push(plot);
                }
                rows.push_str(&format!("\n{}", Table::of_arms(measured).markdown()));
            }
        }
        if benches.is_empty() {
            let parts = ["machine", "overview", "benchmarks"];
            let text = "\nNothing has been measured yet: `cargo xtask bench --document` does.\n";
            return Ok(Self { parts: parts.map(|name| (name, text.to_owned())), plots });
        }
        let parts = [
            ("machine", machine(report)),
            ("overview", format!("\n{}", Table::of_benches(report).markdown())),
            ("benchmarks", rows),
        ];
        Ok(Self { parts, plots })
    }

    /// The page with its generated parts in place of what is there.
    fn fill(&self, page: &str) -> Result<String> {
        self.parts.iter().try_fold(page.to_owned(), |page, (name, text)| {
            let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
            let lacks = |marker: &str| format!("{PAGE} has no line {}", marker.trim_end());
            let (before, rest) = page.split_once(&begin).with_context(|| lacks(&begin))?;
            let (_, after) = rest.split_once(&end).with_context(|| lacks(&end))?;
            Ok(format!("{before}{begin}{text}\n{end}{after}"))
        })
    }
}

/// The word in front of the first slash.
fn section(measured: &Measured) -> &str {
    measured.bench.name.split('/').next().unwrap_or_default()
}

fn has_points(measured: &Measured) -> bool {
    measured.bench.arms.iter().any(|arm| arm.point.is_some())
}

fn image(plot: &Plot) -> String {
    format!("\n![{}](benchmarks/{})\n", plot.title, plot.file)
}

fn machine(report: &Report) -> String {
    let Machine {
        cpu,
        hypervisor,
        cpus,
        memory_mib,
        kernel,
        mitigations,
        bpf_jit_harden,
        load,
        commit,
        rustc,
        ..
    } = &report.machine;
    let measurement = &report.measurement;
    let rounds = measurement.benches.iter().map(|measured| measured.rounds.len()).max();
    let virtual_machine = if hypervisor.is_empty() {
        String::new()
    } else {
        format!(", a virtual machine ({hypervisor})")
    };
    let mitigations: Vec<_> =
        mitigations.iter().map(|(flaw, status)| format!("{flaw}: {status}")).collect();
    let rows = [
        ("measured", format!("{}, at commit `{commit}`", report.machine.day())),
        ("processor", format!("{cpus} × {cpu}{virtual_machine}, {memory_mib} MiB of memory")),
        ("kernel", format!("Linux {kernel}, bpf_jit_harden {bpf_jit_harden}")),
        ("mitigations", mitigations.join("<br>")),
        ("compiler", rustc.clone()),
        ("load at the start", format!("{load:.2}")),
        (
            "rounds",
            format!(
                "{}{}, order of arms from seed {}",
                rounds.unwrap_or(0),
                if measurement.quick { " (a quick run: short rounds, wide intervals)" } else { "" },
                measurement.seed
            ),
        ),
    ];
    let rows = rows.map(|(name, value)| format!("| {name} | {value} |\n"));
    format!("\n| | |\n|---|---|\n{}", rows.concat())
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};
    use crate::paths;

    const EMPTY: &str = "by hand\n<!-- begin machine -->\nold\n<!-- end machine -->\n<!-- begin \
                         overview -->\n<!-- end overview -->\nthis too\n<!-- begin benchmarks \
                         -->\n<!-- end benchmarks -->\nend\n";

    #[test]
    fn what_is_written_by_hand_stays() -> Result<()> {
        let document = Document::new(&sample::report(1.25))?;
        let page = document.fill(EMPTY)?;
        assert!(page.starts_with("by hand\n<!-- begin machine -->\n\n| | |\n"), "{page}");
        assert!(page.contains("-->\nthis too\n<!--") && page.ends_with("-->\nend\n"), "{page}");
        assert!(!page.contains("old"));
        for text in ["### receive\n", "UDP of 64 bytes, one flow.", "](benchmarks/receive.svg)"] {
            assert!(page.contains(text), "no {text}: {page}");
        }
        assert_eq!(document.fill(&page)?, page);
        Ok(())
    }

    #[test]
    fn a_page_without_a_marker_is_left_alone() {
        let document = Document::new(&sample::report(1.25)).expect("a document");
        let error = document.fill("<!-- begin machine -->\n").expect_err("no end");
        assert_eq!(error.to_string(), "docs/benchmarks.md has no line <!-- end machine -->");
    }

    /// What is committed was made by this code from the report that is committed with it.
    #[test]
    fn the_page_and_its_plots_are_those_of_the_committed_report() -> Result<()> {
        let root = paths::workspace();
        let document = Document::new(&committed(root)?)?;
        let page = fs::read_to_string(root.join(PAGE))?;
        let again = "run `cargo xtask bench --document --from docs/benchmarks/report.json`";
        assert!(document.fill(&page)? == page, "{PAGE} is not of its report: {again}");
        for Plot { file, svg, .. } in &document.plots {
            let path = root.join(DIRECTORY).join(file);
            assert!(fs::read_to_string(&path)? == *svg, "{}: {again}", path.display());
        }
        Ok(())
    }
}
