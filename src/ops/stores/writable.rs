//! What keeps the server from writing to a directory, and what its administrator can do about it.

use std::path::Path;

use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};
use rustix::io::Errno;

/// Where our unit shows the server something else than what everybody sees.
const HIDDEN: [&str; 3] = ["/home", "/root", "/run/user"];
const PRIVATE: [&str; 2] = ["/tmp", "/var/tmp"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Obstacle {
    ReadOnly,
    /// Owner and mode.
    Denied,
}

/// The unit of systemd that this process is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Service {
    unit: String,
    user: String,
}

/// Why nothing can be written at `root`, as an instruction; `None` when nothing is in the way.
/// `exists`: otherwise `root` is to be made in the nearest directory above it.
pub fn obstacle(root: &Path, exists: bool) -> Option<String> {
    let above = || root.ancestors().skip(1).find(|dir| dir.exists());
    let dir = if exists { root } else { above()? };
    let found = look(dir)?;
    Some(explain(root, found, Service::current().as_ref()))
}

/// Why a directory that is there for others may not be there for the server.
pub fn hidden(root: &Path) -> Option<String> {
    hidden_from(root, &Service::current()?)
}

fn look(dir: &Path) -> Option<Obstacle> {
    let denied = match access(dir, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => false,
        Err(Errno::ROFS) => return Some(Obstacle::ReadOnly),
        Err(Errno::ACCESS | Errno::PERM) => true,
        // Trying to write will tell more.
        Err(_) => return None,
    };
    // Rights are looked at first: a directory of root's says nothing of its mount.
    let read_only = statvfs(dir).is_ok_and(|s| s.f_flag.contains(StatVfsMountFlags::RDONLY));
    match (read_only, denied) {
        (true, _) => Some(Obstacle::ReadOnly),
        (false, true) => Some(Obstacle::Denied),
        (false, false) => None,
    }
}

fn explain(root: &Path, obstacle: Obstacle, service: Option<&Service>) -> String {
    let shown = root.display();
    match (obstacle, service) {
        (Obstacle::ReadOnly, Some(service)) => format!(
            "the unit {} keeps the server from writing to {shown}. If the disk itself is not mounted read-only, open the \
             directory; as root:\n{}",
            service.unit,
            opening(root, service)
        ),
        (Obstacle::ReadOnly, None) => {
            format!("{shown} is on a file system that is mounted read-only: mount it writable")
        }
        (Obstacle::Denied, Some(service)) => format!(
            "the server runs as the user {0}, who may not write to {shown}; as root:\n  {1}",
            service.user,
            install(root, service)
        ),
        (Obstacle::Denied, None) => {
            format!("the server's user may not write to {shown}: let that user own the directory")
        }
    }
}

fn hidden_from(root: &Path, service: &Service) -> Option<String> {
    if HIDDEN.iter().any(|dir| root.starts_with(dir)) {
        let opening = opening(root, service);
        return Some(format!(
            "the unit {} hides homes from the server. To open {}, as root:\n{opening}",
            service.unit,
            root.display()
        ));
    }
    PRIVATE.iter().any(|dir| root.starts_with(dir)).then(|| {
        format!(
            "the unit {} gives the server temporary directories of its own: choose another place than {}",
            service.unit,
            root.display()
        )
    })
}

/// The commands and the drop-in that let the server write to `root`. The minus lets the service start
/// while the disk is not mounted.
fn opening(root: &Path, service: &Service) -> String {
    let key =
        if HIDDEN.iter().any(|dir| root.starts_with(dir)) { "BindPaths" } else { "ReadWritePaths" };
    format!(
        "  {}\n  systemctl edit {unit}\nwith these lines:\n  [Service]\n  {key}={}\nand then:\n  \
         systemctl restart {unit}",
        install(root, service),
        in_unit(&format!("-{}", root.display())),
        unit = service.unit,
    )
}

fn install(root: &Path, service: &Service) -> String {
    let root = root.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,".contains(c);
    let root =
        if root.chars().all(plain) { root } else { format!("'{}'", root.replace('\'', r"'\''")) };
    format!("install -d -o {0} -g {0} -m 0700 {root}", service.user)
}

/// As a unit file has to have it: specifiers doubled, anything unusual between quotes.
fn in_unit(word: &str) -> String {
    let word = word.replace('%', "%%");
    if word.contains([' ', '\t', '"', '\'', '\\', ':']) {
        format!("\"{}\"", word.replace('\\', r"\\").replace('"', "\\\"").replace(':', "\\:"))
    } else {
        word
    }
}

impl Service {
    /// `None` outside systemd, or in something that a unit started.
    fn current() -> Option<Self> {
        std::env::var_os("INVOCATION_ID")?;
        let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let unit = unit_in(&groups)?;
        // systemd sets it together with the user.
        let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
        Some(Self { unit, user })
    }
}

fn unit_in(groups: &str) -> Option<String> {
    let last = |line: &str| line.rsplit('/').next().unwrap_or_default().to_owned();
    groups.lines().map(last).find(|name| name.ends_with(".service"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Service {
        Service { unit: "hayloft.service".to_owned(), user: "hayloft".to_owned() }
    }

    #[test]
    fn a_closed_unit_is_opened_by_a_drop_in() {
        let text = explain(Path::new("/srv/hay"), Obstacle::ReadOnly, Some(&service()));
        for line in [
            "  install -d -o hayloft -g hayloft -m 0700 /srv/hay",
            "  systemctl edit hayloft.service",
            "  [Service]",
            "  ReadWritePaths=-/srv/hay",
            "  systemctl restart hayloft.service",
        ] {
            assert!(text.lines().any(|l| l == line), "{line:?} in {text}");
        }
        let text = explain(Path::new("/srv/hay"), Obstacle::ReadOnly, None);
        assert!(text.contains("mounted read-only") && !text.contains("systemctl"), "{text}");
    }

    #[test]
    fn homes_and_temporary_directories_are_others_for_the_service() {
        let text = hidden_from(Path::new("/home/ann/hay"), &service()).expect("hidden");
        assert!(text.contains("\n  BindPaths=-/home/ann/hay\n"), "{text}");
        let text = hidden_from(Path::new("/tmp/hay"), &service()).expect("private");
        assert!(text.contains("choose another place"), "{text}");
        assert_eq!(hidden_from(Path::new("/srv/hay"), &service()), None);
    }

    #[test]
    fn unusual_paths_are_quoted_for_shell_and_unit() {
        let text = explain(Path::new("/srv/my 100% hay"), Obstacle::ReadOnly, Some(&service()));
        assert!(text.contains("-m 0700 '/srv/my 100% hay'\n"), "{text}");
        assert!(text.contains("ReadWritePaths=\"-/srv/my 100%% hay\"\n"), "{text}");
    }

    #[test]
    fn the_unit_is_read_from_the_control_group() {
        assert_eq!(
            unit_in("0::/system.slice/hayloft.service\n").as_deref(),
            Some("hayloft.service")
        );
        assert_eq!(
            unit_in("4:pids:/x\n1:name=systemd:/system.slice/h.service\n").as_deref(),
            Some("h.service")
        );
        assert_eq!(unit_in("0::/user.slice/user-0.slice/session-1.scope\n"), None);
    }
}
