//! What is wrong with a store, and what helps.

use super::Phrase;
use crate::domain::{
    Change, Diagnosis, OutsideAdvice, ReconcileAdvice, Remedy, S3Permission, SettingAdvice,
    StoreAdvice, StoreName, StoreSetting, Target,
};
use crate::stores::StoreError;

/// What is wrong, how that is known and what helps, for somebody to whom `store` is at hand.
pub fn diagnosis(diagnosis: &Diagnosis, store: &StoreName) -> Phrase {
    let said = Phrase::new(diagnosis.to_string());
    match advice(&diagnosis.advice(), store) {
        None => said,
        Some(advice) => said.text(": ").then(advice),
    }
}

/// What a call to a store met.
pub fn store_error(error: &StoreError, store: &StoreName) -> Phrase {
    let of = |meaning: &str, found: &Diagnosis| {
        Phrase::new(format!("{meaning}: ")).then(diagnosis(found, store))
    };
    match error {
        StoreError::Unavailable(found) => of("the store is unavailable", found),
        StoreError::Full(found) => of("the store has no room left", found),
        StoreError::Failed(found) => diagnosis(found, store),
        StoreError::NotFound
        | StoreError::Mismatch(_)
        | StoreError::Source(_)
        | StoreError::Archived => Phrase::new(error.to_string()),
    }
}

/// What can be done, the first thing first; `None` when nothing is known to help.
pub fn advice(advice: &[StoreAdvice], store: &StoreName) -> Option<Phrase> {
    advice.iter().map(|step| sentence(step, store)).reduce(|all, step| all.text(", or ").then(step))
}

/// What can be done about a failure that is told with its remedy, whether anything is known to help or not.
pub fn what_helps(known: &[StoreAdvice], store: &StoreName) -> Phrase {
    advice(known, store).unwrap_or_else(|| {
        "no setting of Hayloft is known to help: show the answer to whoever runs the store".into()
    })
}

fn sentence(advice: &StoreAdvice, store: &StoreName) -> Phrase {
    match advice {
        StoreAdvice::Set(change) => Phrase::new("set ").change(change.clone()),
        StoreAdvice::Settings(advice) => of_settings(advice),
        StoreAdvice::Reconcile(advice) => reconcile(*advice, store),
        StoreAdvice::Allow(permission) => {
            Phrase::new(format!("allow the key {}", allowed(*permission)))
        }
        StoreAdvice::Outside(advice) => outside(advice),
    }
}

/// The permission of AWS' policies, which most providers took over.
fn allowed(permission: S3Permission) -> &'static str {
    match permission {
        S3Permission::List => "s3:ListBucket on the bucket",
        S3Permission::Read => "s3:GetObject below the prefix",
        S3Permission::Write => "s3:PutObject and s3:AbortMultipartUpload below the prefix",
        S3Permission::Delete => "s3:DeleteObject below the prefix",
    }
}

fn of_settings(advice: &SettingAdvice) -> Phrase {
    use SettingAdvice as A;
    use StoreSetting as S;
    let about = |before: &str, setting| Phrase::new(before).setting(setting);
    match advice {
        A::Correct(setting) => about("correct ", *setting),
        A::Region(Some(region)) => Phrase::new("set ")
            .change(Change::new(S::Region, Target::Value(region.clone())))
            .then(about(", and correct ", S::Endpoint))
            .text(" if it names a region too"),
        A::Region(None) => about("set ", S::Region)
            .then(about(" to what the provider's console calls it, and correct ", S::Endpoint))
            .text(" if it names a region too"),
        A::HostAndPort => about("correct host, port and path of ", S::Endpoint),
        A::Scheme(scheme) => Phrase::new(format!("write {scheme}:// in ")).setting(S::Endpoint),
        A::AddressNamed => about("set ", S::Region)
            .then(about(" to the region in that name, and ", S::Endpoint))
            .text(" to its service"),
        A::WithoutRedirect => about("set ", S::Endpoint)
            .text(" to the address that answers by itself (https instead of http?)"),
        A::PublicEndpoint => about("set ", S::PublicEndpoint)
            .text(" to a name under which the provider itself knows the bucket"),
        A::KeyAgain => about("give ", S::AccessKeyId)
            .text(" and its secret access key again, from the provider's console"),
        A::EndpointOfKey => about("check that ", S::Endpoint).text(" is where the key was made"),
        A::OwnerOfBucket => about("check ", S::Bucket)
            .text(": a bucket of another account is refused in the same way"),
        A::BucketOfMarker => {
            about("check that ", S::Endpoint).text(" and the credentials lead to the right bucket")
        }
    }
}

fn reconcile(advice: ReconcileAdvice, store: &StoreName) -> Phrase {
    let command =
        |before: &str| Phrase::new(before).command(Remedy::ReconcileStore { store: store.clone() });
    match advice {
        ReconcileAdvice::Emptied => command("run ").text(" if it was emptied on purpose"),
        ReconcileAdvice::WithoutMarker => {
            command("remove the marker, if this is the right place, and run ")
        }
        ReconcileAdvice::Foreign => command("nothing is deleted there until you run "),
        ReconcileAdvice::ForeignInstance => command("nothing is deleted there until you run ")
            .text("; if that instance still exists, it owns the place: stop it first"),
    }
}

fn outside(advice: &OutsideAdvice) -> Phrase {
    use OutsideAdvice as A;
    Phrase::new(match advice {
        A::RestrictMode { path } => {
            return Phrase::new("run ").code(format!("chmod 600 {path}"));
        }
        A::SetClock => {
            return Phrase::new(
                "set this machine's clock and keep it right by NTP, for instance with ",
            )
            .code("timedatectl set-ntp true");
        }
        A::CreateKey => "create a new key",
        A::FreshCredentials => "provide fresh credentials, or a key that does not expire",
        A::SetEnvironment => "set it in the environment of the service and restart the service",
        A::ProvideCredential => {
            "put the key into a file in /etc/hayloft/credentials (aws there is s3_aws here) or add a LoadCredential= to the \
             unit, and restart the service"
        }
        A::WriteKeyLines => "add that line",
        A::StartAsService => "start Hayloft as the service",
        A::CreateBucket => "create the bucket",
        A::StartEndpoint => "start the service there",
        A::CheckFirewalls => "check the firewalls on the way",
        A::CheckNetwork => "check this machine's network and routes",
        A::CheckNameService => "check the name service of this machine",
        A::TrustAuthority => {
            "install the certificate of its authority on this system, or name it in SSL_CERT_FILE, if it is right"
        }
        A::RenewCertificate => "have the certificate renewed",
        A::FindWhatChangesRequests => {
            "look for what changes requests or answers between here and the provider"
        }
        A::MakeRoom => "make room in the store or raise its quota",
        A::TryLater => "check the provider and the network; Hayloft tries again by itself",
        A::RestoreObject => "restore it first",
        A::OtherProvider => "choose a provider that shows objects at once",
        A::AllowDeletion => {
            "allow deletion below the prefix: the provider or an object lock keeps deleted objects"
        }
        A::Mount => "mount the volume, and let the user of the service own it and write to it",
        A::CheckDisk => "check the disk, its permissions and the system log",
        A::CheckReach => "check that the endpoint can be reached or the disk is well",
        A::CheckDiskOrProvider => {
            "the store does not keep what is written to it: check the disk or the provider"
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC 2: each failed step says what is wrong and what to change.
    #[test]
    fn a_failure_that_nothing_is_known_against_has_a_way_out_all_the_same() {
        let store = StoreName::new("cold").expect("a name");
        let odd = Diagnosis::from("the provider gives a part no ETag");
        assert_eq!(advice(&odd.advice(), &store), None);
        assert!(!what_helps(&odd.advice(), &store).is_empty());
    }
}
