// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A machine: nodes with processors on the left, memory without any on the right, and what the firmware's HMAT says of
//! the ways between them.

use super::Section;
use super::picture::{Anchor, Picture};
use crate::size::ByteSize;
use crate::topology::{Node, Topology};

const WIDTH: f64 = 664.0;
const LEFT: f64 = 2.0;
const RIGHT: f64 = 380.0;
const BOX: f64 = 280.0;
const INSET: f64 = 12.0;
const LINE: f64 = 18.0;
const GAP: f64 = 18.0;

/// A box with a few lines of text.
#[derive(Debug)]
struct Drawn {
    node: usize,
    top: f64,
    lines: Vec<String>,
}

impl Drawn {
    fn height(&self) -> f64 {
        #[expect(clippy::cast_precision_loss)]
        let lines = self.lines.len() as f64;
        lines * LINE + INSET * 1.5
    }

    fn middle(&self) -> f64 {
        self.top + self.height() / 2.0
    }
}

/// The machine on which something was tried.
pub fn machine_section(topology: &Topology) -> Section {
    Section {
        title: "The machine".to_owned(),
        text: "What the firmware tells the guest of it; a line leads to each memory from the processors that are nearest, a \
               faint one from the others. The emulator itself makes no memory slower."
            .to_owned(),
        pictures: vec![machine("Nodes", topology)],
        table: None,
    }
}

fn machine(title: &str, topology: &Topology) -> Picture {
    let nodes = || topology.nodes.iter().enumerate();
    let left = column(nodes().filter(|(_, node)| node.processors > 0));
    let right = column(nodes().filter(|(_, node)| node.processors == 0));
    let boxes = left.iter().chain(&right);
    let bottom = boxes.map(|drawn| drawn.top + drawn.height());
    let mut picture = Picture::new(title, WIDTH, bottom.fold(0.0, f64::max) + 2.0);
    for from in &left {
        for to in &right {
            let is_nearest = topology.nodes[to.node].initiator == from.node;
            let class = if is_nearest { "axis" } else { "grid" };
            picture.line((LEFT + BOX, from.middle()), (RIGHT, to.middle()), class);
        }
    }
    for (x, drawn) in left
        .iter()
        .map(|drawn| (LEFT, drawn))
        .chain(right.iter().map(|drawn| (RIGHT, drawn)))
    {
        let (top, height) = (drawn.top, drawn.height());
        picture.rectangle((x, top), (BOX, height), "box");
        let mut y = top + INSET + 4.0;
        for (place, line) in drawn.lines.iter().enumerate() {
            let class = if place == 0 { "group" } else { "quiet" };
            picture.text((x + INSET, y), Anchor::Begin, class, line);
            y += LINE;
        }
    }
    picture
}

fn column<'a>(nodes: impl Iterator<Item = (usize, &'a Node)>) -> Vec<Drawn> {
    let mut top = 2.0;
    nodes
        .map(|(number, node)| {
            let drawn = Drawn {
                node: number,
                top,
                lines: lines(number, node),
            };
            top += drawn.height() + GAP;
            drawn
        })
        .collect()
}

fn lines(number: usize, node: &Node) -> Vec<String> {
    let kind = if node.window.is_some() {
        "CXL memory"
    } else {
        "memory"
    };
    let mut lines = vec![format!(
        "Node {number}: {} of {kind}",
        ByteSize(node.memory_bytes)
    )];
    if node.processors > 0 {
        lines.push(format!("{} processors", node.processors));
    }
    match node.window.as_ref().map(|window| window.devices.len()) {
        Some(1) => lines.push("1 device with a CHMU".to_owned()),
        Some(devices) => lines.push(format!("{devices} devices with CHMUs, in turn")),
        None => {}
    }
    lines.extend(node.access.iter().map(|access| {
        let from = match access.initiator == number {
            true => "its own".to_owned(),
            false => format!("node {}", access.initiator),
        };
        let gib = f64::from(access.bandwidth_mib_per_s) / 1024.0;
        format!("from {from}: {} ns, {gib} GiB/s", access.latency_ns)
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::presets::Preset;

    #[test]
    fn each_node_is_drawn_with_its_figures_and_a_way_to_it() {
        let text = machine("m", &Topology::default()).file();
        for words in [
            "Node 0: 2G of memory",
            "2 processors",
            "Node 1: 1G of CXL memory",
            "1 device with a CHMU",
            "from node 0: 300 ns, 20 GiB",
        ] {
            assert!(text.contains(&format!(">{words}")), "{words}: {text}");
        }
        assert_eq!(text.matches("<line").count(), 1);
        assert_eq!(text.matches("class=\"box\"").count(), 2);
    }

    #[test]
    fn the_nearest_way_is_drawn_darker() {
        let two: Preset = "two-socket".parse().unwrap();
        let text = machine("m", &two.topology()).file();
        assert_eq!(text.matches("class=\"axis\"").count(), 2, "{text}");
        assert_eq!(text.matches("class=\"grid\"").count(), 2, "{text}");
    }
}
