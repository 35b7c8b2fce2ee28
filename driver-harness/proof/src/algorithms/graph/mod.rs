// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A Kronecker graph as Graph 500 has it: few vertices have many neighbours and most have few, so that some memory is
//! much hotter than the rest, and no place tells which.

mod rank;
mod search;

pub use rank::Ranks;
pub use search::Reached;

use super::Wrong;

/// Of the four quarters of the matrix the first three, in parts of 100: Graph 500's own.
const QUARTERS: [u8; 3] = [57, 19, 19];

/// An edge between two vertices.
type Edge = (u32, u32);

/// What graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// There are two to the power of this many vertices, at most 31.
    pub scale: u32,
    /// Edges for each vertex.
    pub edges_per_vertex: u32,
    /// Chooses the edges.
    pub seed: u64,
}

impl Plan {
    /// How many vertices that is.
    pub fn vertices(self) -> u64 {
        1 << self.scale
    }

    /// How many edges that is.
    pub fn edges(self) -> u64 {
        self.vertices() * u64::from(self.edges_per_vertex)
    }
}

/// A graph without direction, twice: as the edges that it was made of, and by vertex. What is computed of the second is
/// checked by the first.
#[derive(Debug)]
pub struct Graph {
    edges: Vec<Edge>,
    /// Where the neighbours of each vertex begin, and the end of the last.
    starts: Vec<usize>,
    neighbours: Vec<u32>,
}

impl Graph {
    /// Makes it of a seed; edges may be there twice, and a vertex may be its own neighbour.
    pub fn kronecker(plan: Plan) -> Graph {
        let mut random = fastrand::Rng::with_seed(plan.seed);
        let vertices = 1_u32 << plan.scale;
        // Else the vertices with many neighbours would be the first ones.
        let mut names: Vec<_> = (0..vertices).collect();
        random.shuffle(&mut names);
        let edges = (0..plan.edges()).map(|_| {
            let (from, to) = place(&mut random, plan.scale);
            (names[from as usize], names[to as usize])
        });
        Graph::of(vertices, edges.collect())
    }

    /// Of edges between vertices below `vertices`.
    fn of(vertices: u32, edges: Vec<Edge>) -> Graph {
        let ends = || {
            edges
                .iter()
                .flat_map(|&(one, two)| [(one, two), (two, one)])
        };
        let mut starts = vec![0_usize; vertices as usize + 1];
        for (from, _) in ends() {
            starts[from as usize + 1] += 1;
        }
        for vertex in 1..starts.len() {
            starts[vertex] += starts[vertex - 1];
        }
        let mut next = starts.clone();
        let mut neighbours = vec![0; edges.len() * 2];
        for (from, to) in ends() {
            let place = &mut next[from as usize];
            neighbours[*place] = to;
            *place += 1;
        }
        Graph {
            edges,
            starts,
            neighbours,
        }
    }

    /// How many vertices there are.
    pub fn vertices(&self) -> u32 {
        u32::try_from(self.starts.len() - 1).unwrap_or(u32::MAX)
    }

    /// How many edges there are.
    pub fn edges(&self) -> usize {
        self.edges.len()
    }

    /// Names another neighbour of the vertex with the most.
    pub fn spoil(&mut self) {
        let most = (0..self.vertices()).max_by_key(|vertex| self.degree(*vertex));
        let place = most.map_or(0, |vertex| self.starts[vertex as usize]);
        let vertices = self.vertices();
        if let Some(neighbour) = self.neighbours.get_mut(place) {
            *neighbour = (*neighbour + 1) % vertices;
        }
    }

    /// A vertex with neighbours; none when there is no edge.
    pub fn root(&self, seed: u64) -> Option<u32> {
        let mut random = fastrand::Rng::with_seed(seed);
        random.choice(&self.edges).map(|(vertex, _)| *vertex)
    }

    fn degree(&self, vertex: u32) -> usize {
        self.neighbours_of(vertex).len()
    }

    fn neighbours_of(&self, vertex: u32) -> &[u32] {
        let vertex = vertex as usize;
        &self.neighbours[self.starts[vertex]..self.starts[vertex + 1]]
    }
}

/// A row and a column of a matrix of 2^scale each: a quarter is chosen, in it a quarter, and so on.
fn place(random: &mut fastrand::Rng, scale: u32) -> Edge {
    let mut edge = (0, 0);
    for _ in 0..scale {
        let chance = random.u8(..100);
        let [first, second, third] = QUARTERS;
        let (down, right) = match chance {
            _ if chance < first => (0, 0),
            _ if chance < first + second => (0, 1),
            _ if chance < first + second + third => (1, 0),
            _ => (1, 1),
        };
        edge = (edge.0 << 1 | down, edge.1 << 1 | right);
    }
    edge
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_vertices_have_most_neighbours() {
        let graph = Graph::kronecker(Plan {
            scale: 12,
            edges_per_vertex: 16,
            seed: 1,
        });
        assert_eq!((graph.vertices(), graph.edges()), (4096, 65_536));
        let mut degrees: Vec<_> = (0..4096).map(|vertex| graph.degree(vertex)).collect();
        assert_eq!(degrees.iter().sum::<usize>(), 2 * 65_536);
        degrees.sort_unstable_by(|one, other| other.cmp(one));
        let most: usize = degrees[..410].iter().sum();
        assert!(
            most > 65_536,
            "{most} of the ends are of a tenth of the vertices"
        );
    }

    #[test]
    fn neighbours_are_those_of_the_edges() {
        let graph = Graph::of(4, vec![(0, 1), (2, 1), (1, 1)]);
        let sorted = |vertex| {
            let mut neighbours = graph.neighbours_of(vertex).to_vec();
            neighbours.sort_unstable();
            neighbours
        };
        assert_eq!(sorted(0), [1]);
        assert_eq!(sorted(1), [0, 1, 1, 2]);
        assert_eq!(sorted(2), [1]);
        assert!(sorted(3).is_empty());
        assert!((0..50).all(|seed| graph.root(seed) != Some(3)));
        assert_eq!(Graph::of(4, Vec::new()).root(1), None);
    }
}
