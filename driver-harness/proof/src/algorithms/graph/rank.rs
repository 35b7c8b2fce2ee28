// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `PageRank`: how often somebody is at each vertex who mostly follows a random edge, and now and then goes anywhere.

use super::{Graph, Wrong};

/// The chance to follow an edge.
const FOLLOWS: f64 = 0.85;
/// What sums may differ by that are made in another order, in parts of the whole.
const EXACT_TO: f64 = 1e-9;

/// The chance to be at each vertex, after some iterations and before the last of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranks {
    before: Vec<f64>,
    now: Vec<f64>,
}

impl Graph {
    /// Begins with the same chance for all, and improves it so many times, at least once: each vertex asks its
    /// neighbours.
    pub fn rank(&self, iterations: u32) -> Ranks {
        let vertices = f64::from(self.vertices());
        let mut ranks = Ranks {
            before: Vec::new(),
            now: vec![1.0 / vertices; self.vertices() as usize],
        };
        for _ in 0..iterations.max(1) {
            let everybody = self.everybodys(&ranks.now);
            let part =
                |neighbour: &u32| ranks.now[*neighbour as usize] / self.degree(*neighbour) as f64;
            let rank = |vertex| {
                let from_neighbours: f64 = self.neighbours_of(vertex).iter().map(part).sum();
                everybody + FOLLOWS * from_neighbours
            };
            let now = (0..self.vertices()).map(rank).collect();
            ranks.before = std::mem::replace(&mut ranks.now, now);
        }
        ranks
    }

    /// What each vertex has of those who go anywhere, as all do who are where no edge leads on.
    fn everybodys(&self, ranks: &[f64]) -> f64 {
        let vertices = (0..self.vertices()).zip(ranks);
        let stuck = vertices.filter(|(vertex, _)| self.degree(*vertex) == 0);
        let stuck: f64 = stuck.map(|(_, rank)| rank).sum();
        (1.0 - FOLLOWS + FOLLOWS * stuck) / f64::from(self.vertices())
    }
}

impl Ranks {
    /// The highest.
    pub fn highest(&self) -> f64 {
        self.now.iter().copied().fold(0.0, f64::max)
    }

    /// Somebody is somewhere; and each edge that hands on what its ends had before comes to what they have now.
    ///
    /// # Errors
    /// When that does not hold.
    pub fn check(&self, graph: &Graph) -> Result<(), Wrong> {
        let sum: f64 = self.now.iter().sum();
        if (sum - 1.0).abs() > EXACT_TO {
            return Err(Wrong::new("The sum of all ranks", sum, 1));
        }
        let mut ends = vec![0.0_f64; self.now.len()];
        for &(one, two) in &graph.edges {
            ends[one as usize] += 1.0;
            ends[two as usize] += 1.0;
        }
        let stuck = ends.iter().zip(&self.before);
        let stuck: f64 = stuck
            .filter(|(ends, _)| **ends == 0.0)
            .map(|(_, rank)| rank)
            .sum();
        let everybody = (1.0 - FOLLOWS + FOLLOWS * stuck) / self.now.len() as f64;
        let mut again = vec![everybody; self.now.len()];
        for &(one, two) in &graph.edges {
            for (from, to) in [(one as usize, two as usize), (two as usize, one as usize)] {
                again[to] += FOLLOWS * self.before[from] / ends[from];
            }
        }
        let mut vertices = self.now.iter().zip(&again).enumerate();
        match vertices
            .find(|(_, (now, again))| (*now - *again).abs() > EXACT_TO * again.abs().max(EXACT_TO))
        {
            None => Ok(()),
            Some((vertex, (now, again))) => Err(Wrong::new(
                format!("The rank of vertex {vertex}"),
                now,
                format!("{again} by the edges"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Plan;
    use super::*;

    fn ranks(vertices: u32, edges: &[(u32, u32)]) -> Vec<f64> {
        let graph = Graph::of(vertices, edges.to_vec());
        let ranks = graph.rank(200);
        ranks.check(&graph).unwrap();
        ranks.now
    }

    fn assert_close(found: &[f64], expected: &[f64]) {
        let close = found
            .iter()
            .zip(expected)
            .all(|(one, other)| (one - other).abs() < 1e-9);
        assert!(
            close && found.len() == expected.len(),
            "{found:?} and {expected:?}"
        );
    }

    /// What can be worked out by hand: a circle, a star with four rays, and a pair beside a vertex without an edge.
    #[test]
    fn known_graphs_have_their_known_ranks() {
        assert_close(&ranks(3, &[(0, 1), (1, 2), (2, 0)]), &[1.0 / 3.0; 3]);
        let base = (1.0 - FOLLOWS) / 5.0;
        // The middle has base + d * rays, each ray base + d * middle / 4.
        let middle = (base + FOLLOWS * 4.0 * base) / (1.0 - FOLLOWS * FOLLOWS);
        let ray = base + FOLLOWS * middle / 4.0;
        assert_close(
            &ranks(5, &[(0, 1), (0, 2), (0, 3), (0, 4)]),
            &[middle, ray, ray, ray, ray],
        );
        // Who is alone has (1 - d + d alone) / 3.
        let alone = (1.0 - FOLLOWS) / (3.0 - FOLLOWS);
        let pair = (1.0 - alone) / 2.0;
        assert_close(&ranks(3, &[(0, 1)]), &[pair, pair, alone]);
    }

    #[test]
    fn a_neighbour_that_is_none_is_found() {
        let plan = Plan {
            scale: 10,
            edges_per_vertex: 8,
            seed: 5,
        };
        let mut graph = Graph::kronecker(plan);
        graph.rank(5).check(&graph).unwrap();
        graph.spoil();
        assert!(graph.rank(5).check(&graph).is_err());
    }
}
