//! Launch data cut into messages that stay small: events of others must not wait behind them.

use std::collections::HashMap;

use a2arun_core::launch::{InstanceLaunch, Template};
use a2arun_core::plan::HostLaunch;

/// A message's size, about; one instance alone may be larger.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// The same launch in pieces, in order, each with the templates that it needs.
pub(super) fn split(launch: HostLaunch) -> Vec<HostLaunch> {
    split_at(launch, BATCH_BYTES_MAX)
}

fn split_at(launch: HostLaunch, bytes_max: usize) -> Vec<HostLaunch> {
    let templates: Vec<usize> = launch.templates.iter().map(template_bytes).collect();
    let total: usize = templates.iter().sum::<usize>()
        + launch.instances.iter().map(instance_bytes).sum::<usize>();
    if total <= bytes_max {
        return vec![launch];
    }
    let mut pieces = Vec::new();
    let mut piece = Piece::default();
    for instance in launch.instances {
        let template = instance.template as usize;
        let mut bytes = instance_bytes(&instance);
        if !piece.moved.contains_key(&instance.template) {
            bytes += templates.get(template).copied().unwrap_or(0);
        }
        if !piece.launch.instances.is_empty() && piece.bytes + bytes > bytes_max {
            pieces.push(std::mem::take(&mut piece).launch);
        }
        piece.add(instance, &launch.templates, &templates);
    }
    pieces.push(piece.launch);
    pieces
}

#[derive(Default)]
struct Piece {
    launch: HostLaunch,
    moved: HashMap<u32, u32>,
    bytes: usize,
}

impl Piece {
    fn add(&mut self, mut instance: InstanceLaunch, templates: &[Template], sizes: &[usize]) {
        self.bytes += instance_bytes(&instance);
        let at = instance.template;
        let next = u32::try_from(self.launch.templates.len()).unwrap_or(u32::MAX);
        let template = *self.moved.entry(at).or_insert(next);
        if template == next
            && let Some(own) = templates.get(at as usize)
        {
            self.launch.templates.push(own.clone());
            self.bytes += sizes[at as usize];
        }
        instance.template = template;
        self.launch.instances.push(instance);
    }
}

/// Length and tag bytes of a field, generously.
const FIELD: usize = 8;

fn template_bytes(template: &Template) -> usize {
    let argv: usize = template.argv.iter().map(|a| a.len() + FIELD).sum();
    let env: usize = template.env.iter().map(|(k, v)| k.len() + v.len() + 2 * FIELD).sum();
    argv + env + 256
}

fn instance_bytes(instance: &InstanceLaunch) -> usize {
    let argv: usize = instance.argv.iter().map(|a| a.len() + FIELD).sum();
    let env: usize = instance.env.iter().map(|(k, v)| k.len() + v.len() + 2 * FIELD).sum();
    argv + env + instance.name.len() + 4 * FIELD
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use a2arun_core::ids::Rank;
    use a2arun_core::launch::{Lifecycle, Readiness, StopPolicy};

    use super::*;

    fn launch(count: u32, value_bytes: usize) -> HostLaunch {
        let template = |name: &str| Template {
            argv: vec![name.to_owned()],
            env: BTreeMap::new(),
            host_env: false,
            workdir: None,
            umask: None,
            lifecycle: Lifecycle::Task,
            stop: StopPolicy::default(),
            readiness: Readiness::alive(),
            peers_hook: Default::default(),
        };
        let instances = (0..count)
            .map(|rank| InstanceLaunch {
                rank: Rank(rank),
                name: format!("w[{rank}]"),
                template: rank % 2,
                argv: Vec::new(),
                env: BTreeMap::from([("X".to_owned(), "x".repeat(value_bytes))]),
                port: None,
                ports: Vec::new(),
                stdin: false,
            })
            .collect();
        HostLaunch { templates: vec![template("even"), template("odd")], instances }
    }

    #[test]
    fn what_fits_stays_whole() {
        assert_eq!(split(launch(100, 10)), [launch(100, 10)]);
    }

    #[test]
    fn pieces_are_small_in_order_and_have_their_templates() {
        let whole = launch(20, 3000);
        let pieces = split_at(whole.clone(), 10_000);
        assert!(pieces.len() > 5);
        let mut ranks = Vec::new();
        for piece in &pieces {
            for instance in &piece.instances {
                ranks.push(instance.rank);
                let word = &piece.templates[instance.template as usize].argv[0];
                assert_eq!(word == "odd", instance.rank.0 % 2 == 1);
            }
        }
        assert_eq!(ranks, whole.instances.iter().map(|i| i.rank).collect::<Vec<_>>());
    }

    #[test]
    fn one_that_is_too_large_goes_alone() {
        let pieces = split_at(launch(3, 5000), 1000);
        assert_eq!(pieces.iter().map(|p| p.instances.len()).collect::<Vec<_>>(), [1, 1, 1]);
    }
}
