//! The limits of a container, and how much of them nginx uses.

use crate::settings::types::WorkerProcesses;
use crate::settings::Source;

/// Memory of an idle WebSocket, in bytes, in addition to its two connections of the table: as
/// measured, plus a small margin (docs/performance.md).
const IDLE_WEBSOCKET: u64 = 1_250;

/// cgroup v1 represents no limit as a number near `i64::MAX`, in whole pages.
const NO_LIMIT: u64 = 1 << 60;

/// Maximum size of a kernel file that is read, in bytes.
const LONGEST: usize = 65_536;

/// The number of workers for `auto` with this many processors.
pub fn workers(processors: usize) -> u16 {
    u16::try_from(processors).unwrap_or(u16::MAX).clamp(1, WorkerProcesses::MOST)
}

/// The smallest memory limit of the cgroups of this process, in bytes; `None` if there is none, or
/// none can be read.
pub fn memory_limit(source: &dyn Source) -> Option<u64> {
    let groups = text(source, "/proc/self/cgroup")?;
    let limits = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let (folder, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            v1 if v1.split(',').any(|controller| controller == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        limit_of(source, folder, path, file)
    });
    limits.min()
}

/// The smallest limit of a group and its parents. A container may see its own group as the root
/// while `/proc` gives the host's path; files that do not exist are skipped.
fn limit_of(source: &dyn Source, folder: &str, path: &str, file: &str) -> Option<u64> {
    let mut group = match path.contains("..") {
        true => "",
        false => path.trim_end_matches('/'),
    };
    let mut least = None;
    loop {
        let limit = text(source, &format!("{folder}{group}/{file}"));
        let limit =
            limit.and_then(|text| text.trim().parse().ok()).filter(|limit| *limit < NO_LIMIT);
        least = [least, limit].into_iter().flatten().min();
        match group.rsplit_once('/') {
            Some((around, _)) => group = around,
            None => return least,
        }
    }
}

fn text(source: &dyn Source, path: &str) -> Option<String> {
    String::from_utf8(source.file(path, LONGEST).ok()?).ok()
}

/// The configured size of nginx.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Worker processes.
    pub workers: u64,
    /// Connections per worker.
    pub connections: u64,
    /// Bytes that nginx allocates per connection when a worker starts, used or not.
    pub connection: u64,
}

/// A message for the operator about the size.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether action is recommended.
    pub warns: bool,
    /// The message.
    pub text: String,
}

/// Compares the memory for this size with the limit.
pub fn report(size: Size, limit: Option<u64>) -> Report {
    let connections = size.workers.saturating_mul(size.connections);
    let tables = connections.saturating_mul(size.connection);
    let full = tables.saturating_add((connections / 2).saturating_mul(IDLE_WEBSOCKET));
    let plural = if size.workers == 1 { "" } else { "s" };
    let mut text = format!(
        "{} worker{plural} x {} connections take {} of memory, and {} with an idle WebSocket on \
         each pair",
        size.workers,
        size.connections,
        megabytes(tables),
        megabytes(full)
    );
    let warns = limit.is_some_and(|limit| full > limit / 2);
    if let Some(limit) = limit.filter(|_| warns) {
        text.push_str(&format!(
            ", which is over half of the {} that the cgroup may have: lower WORKER_CONNECTIONS or \
             WORKER_PROCESSES, or raise the memory limit of the container",
            megabytes(limit)
        ));
    }
    Report { warns, text }
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::{Table, Variables};

    #[test]
    fn auto_is_one_for_each_processor() {
        for (processors, expected) in
            [(0, 1), (1, 1), (8, 8), (500, 500), (501, 500), (70_000, 500)]
        {
            assert_eq!(workers(processors), expected, "{processors}");
        }
    }

    #[test]
    fn the_smallest_limit_of_the_groups_around_counts() {
        const V2: (&str, &str) = ("/proc/self/cgroup", "0::/a/b\n");
        const V1: (&str, &str) =
            ("/proc/self/cgroup", "3:cpu:/x\n2:hugetlb,memory:/docker/1\n0::/\n");
        let cases: &[(Variables, Option<u64>)] = &[
            (&[], None),
            (&[V2], None),
            (&[V2, ("/sys/fs/cgroup/a/b/memory.max", "max\n")], None),
            (&[V2, ("/sys/fs/cgroup/a/b/memory.max", "1000\n")], Some(1000)),
            (
                &[
                    V2,
                    ("/sys/fs/cgroup/a/b/memory.max", "1000\n"),
                    ("/sys/fs/cgroup/a/memory.max", "900\n"),
                ],
                Some(900),
            ),
            // a container that sees its own group as the root
            (&[("/proc/self/cgroup", "0::/\n"), ("/sys/fs/cgroup/memory.max", "800\n")], Some(800)),
            (
                &[("/proc/self/cgroup", "0::/../../c\n"), ("/sys/fs/cgroup/memory.max", "800\n")],
                Some(800),
            ),
            (&[V1, ("/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "700\n")], Some(700)),
            (&[V1, ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "600\n")], Some(600)),
            (&[V1, ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")], None),
            (&[("/proc/self/cgroup", "odd\n\n0:\n")], None),
            (&[V2, ("/sys/fs/cgroup/a/b/memory.max", "-1\n")], None),
        ];
        for (table, expected) in cases {
            assert_eq!(memory_limit(&Table(table)), *expected, "{table:?}");
        }
    }

    #[test]
    fn a_size_is_reported_and_one_over_half_of_the_limit_warns() {
        let size = Size { workers: 2, connections: 16_384, connection: 424 };
        let plain =
            "2 workers x 16384 connections take 13.8 MB of memory, and 34.3 MB with an idle \
                     WebSocket on each pair";
        for limit in [None, Some(1_000_000_000), Some(70_000_000)] {
            assert_eq!(
                report(size, limit),
                Report { warns: false, text: plain.to_owned() },
                "{limit:?}"
            );
        }
        let found = report(size, Some(64_000_000));
        assert!(found.warns);
        assert_eq!(
            found.text,
            format!(
                "{plain}, which is over half of the 64.0 MB that the cgroup may have: lower \
                 WORKER_CONNECTIONS or WORKER_PROCESSES, or raise the memory limit of the container"
            )
        );
        let one = Size { workers: 1, connections: 512, connection: 424 };
        assert!(report(one, None).text.starts_with("1 worker x 512 connections take 0.2 MB"));
        let most = Size { workers: u64::MAX, connections: u64::MAX, connection: 424 };
        assert!(report(most, Some(u64::MAX)).warns);
    }
}
