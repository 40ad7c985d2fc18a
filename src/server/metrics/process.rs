//! The process as the kernel sees it, under the names that all exporters use.

use std::fs;

use super::exposition::Exposition;
use crate::domain::Timestamp;

/// Clock ticks per second in `/proc`: fixed by the kernel's interface, whatever its own rate is.
const TICKS: u32 = 100;

pub fn write(page: &mut Exposition, started_at: Timestamp) {
    let started = started_at.seconds();
    page.gauge("process_start_time_seconds", "When the server started, Unix time.", started);
    if let Some(bytes) = resident_bytes() {
        page.gauge("process_resident_memory_bytes", "Memory that the server holds.", bytes);
    }
    if let Some(seconds) = cpu_seconds() {
        page.counter("process_cpu_seconds_total", "CPU time, user and system.", seconds);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        page.gauge("process_open_fds", "Open file descriptors.", open.count());
    }
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

/// User and system time, from `/proc/self/stat` (`proc_pid_stat(5)`).
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program stands in parentheses and may hold spaces.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let (user, system): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((f64::from(user) + f64::from(system)) / f64::from(TICKS))
}
