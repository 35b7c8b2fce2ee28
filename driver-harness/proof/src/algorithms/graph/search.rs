// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A search that goes as far from a vertex as there are edges, the nearest vertices first, and Graph 500's checks of it.

use super::{Graph, Wrong};

/// What was reached from a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    root: u32,
    /// From where each vertex was reached first, the root from itself; none of those that were not.
    parents: Vec<Option<u32>>,
}

impl Graph {
    /// Searches from a vertex.
    pub fn search(&self, root: u32) -> Reached {
        let mut parents = vec![None; self.vertices() as usize];
        parents[root as usize] = Some(root);
        let mut nearest = vec![root];
        while !nearest.is_empty() {
            let mut next = Vec::new();
            for &vertex in &nearest {
                for &neighbour in self.neighbours_of(vertex) {
                    let parent = &mut parents[neighbour as usize];
                    if parent.is_none() {
                        *parent = Some(vertex);
                        next.push(neighbour);
                    }
                }
            }
            nearest = next;
        }
        Reached { root, parents }
    }
}

impl Reached {
    /// How many vertices were reached, with the root.
    pub fn vertices(&self) -> usize {
        self.parents.iter().flatten().count()
    }

    /// Looks at every edge: its ends are reached both or neither, and in steps that differ by one at most; and every
    /// vertex that was reached has an edge to its parent, which is one step nearer.
    ///
    /// # Errors
    /// When that does not hold.
    pub fn check(&self, graph: &Graph) -> Result<(), Wrong> {
        let steps = self.steps()?;
        let mut has_edge = vec![false; self.parents.len()];
        for &(one, two) in &graph.edges {
            let (near, far) = (steps[one as usize], steps[two as usize]);
            let is_right = match (near, far) {
                (Some(near), Some(far)) => near.abs_diff(far) <= 1,
                (None, None) => true,
                _ => false,
            };
            if !is_right {
                return Err(Wrong::new(
                    format!(
                        "Of the edge from {one} to {two} how far its ends are from vertex {}",
                        self.root
                    ),
                    format!("{near:?} and {far:?} steps"),
                    "one step apart at most, or neither of them reached",
                ));
            }
            for (vertex, parent) in [(one, two), (two, one)] {
                has_edge[vertex as usize] |= self.parents[vertex as usize] == Some(parent);
            }
        }
        has_edge[self.root as usize] = true;
        let mut vertices = self.parents.iter().zip(&has_edge).enumerate();
        match vertices.find(|(_, (parent, has_edge))| parent.is_some() && !**has_edge) {
            None => Ok(()),
            Some((vertex, (parent, _))) => Err(Wrong::new(
                format!("The vertex from which vertex {vertex} was reached"),
                format!("{parent:?}"),
                "one with an edge to it",
            )),
        }
    }

    /// How many steps each vertex is from the root, by its parents.
    fn steps(&self) -> Result<Vec<Option<u32>>, Wrong> {
        let mut steps = vec![None; self.parents.len()];
        steps[self.root as usize] = Some(0);
        let mut way = Vec::new();
        for vertex in 0..self.parents.len() {
            let mut here = vertex;
            let known = loop {
                match (steps[here], self.parents[here]) {
                    (Some(known), _) => break known,
                    (None, None) => break 0,
                    (None, Some(parent)) => way.push(std::mem::replace(&mut here, parent as usize)),
                }
                if way.len() > self.parents.len() {
                    return Err(Wrong::new(
                        format!("The way from vertex {vertex} to vertex {}", self.root),
                        "a circle",
                        "one that ends there",
                    ));
                }
            };
            for (further, vertex) in (known + 1..).zip(way.drain(..).rev()) {
                steps[vertex] = Some(further);
            }
        }
        Ok(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Plan;
    use super::*;

    /// A path, a vertex beside it that leads back, and two that nobody reaches.
    fn small() -> Graph {
        Graph::of(7, vec![(0, 1), (1, 2), (2, 3), (4, 1), (4, 2), (5, 6)])
    }

    #[test]
    fn what_is_reached_is_right() {
        let graph = small();
        let reached = graph.search(0);
        assert_eq!(reached.vertices(), 5);
        assert_eq!(
            reached.steps().unwrap(),
            [Some(0), Some(1), Some(2), Some(3), Some(2), None, None]
        );
        reached.check(&graph).unwrap();
        let graph = Graph::kronecker(Plan {
            scale: 10,
            edges_per_vertex: 8,
            seed: 3,
        });
        let root = graph.root(1).unwrap();
        let reached = graph.search(root);
        assert!(reached.vertices() > 512, "{}", reached.vertices());
        reached.check(&graph).unwrap();
    }

    #[test]
    fn each_way_to_be_wrong_is_found() {
        let graph = small();
        let right = graph.search(0);
        let wrong = |change: &dyn Fn(&mut Vec<Option<u32>>)| {
            let mut wrong = right.clone();
            change(&mut wrong.parents);
            wrong.check(&graph).unwrap_err().to_string()
        };
        // A vertex that was left out, one without an edge to its parent, a detour, and a circle.
        assert!(wrong(&|parents| parents[3] = None).contains("from 2 to 3"));
        assert!(wrong(&|parents| parents[4] = Some(0)).contains("vertex 4 was reached"));
        assert!(wrong(&|parents| parents[4] = Some(3)).contains("from 4 to 1"));
        assert!(
            wrong(&|parents| (parents[1], parents[2]) = (Some(2), Some(1))).contains("a circle")
        );
    }
}
