//! What helps against which problem of a store.

use serde::{Deserialize, Serialize};

use super::{
    Change, CredentialsFault, DiskFault, MarkerOwner, Remedy, S3Permission, StoreName,
    StoreProblem, StoreSetting, Target,
};

/// What an administrator can do about a problem of a store. Which store it is, whoever says it knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreAdvice {
    Set(Change<StoreSetting>),
    Settings(SettingAdvice),
    Reconcile(ReconcileAdvice),
    Allow(S3Permission),
    Outside(OutsideAdvice),
}

/// About settings whose right value is for the administrator to find.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingAdvice {
    Correct(StoreSetting),
    /// The region, if it is known, and a region in the endpoint's name with it.
    Region(Option<String>),
    /// Host, port and path of the endpoint.
    HostAndPort,
    /// The endpoint as a URL of this scheme.
    Scheme(String),
    /// Region and endpoint from the address that the provider named.
    AddressNamed,
    /// As the endpoint, what answers without a redirect.
    WithoutRedirect,
    /// A public endpoint under which the provider itself knows the bucket.
    PublicEndpoint,
    /// Access key id and secret once more.
    KeyAgain,
    /// The endpoint may be another than the one where the key was made.
    EndpointOfKey,
    /// A bucket of another account is refused like one that may not be listed.
    OwnerOfBucket,
    /// Endpoint and credentials must lead to the bucket that has the marker.
    BucketOfMarker,
}

/// When a store may be reconciled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReconcileAdvice {
    /// If it was emptied on purpose.
    Emptied,
    /// If the place is right and its marker damaged, which goes first.
    WithoutMarker,
    /// Until then nothing is deleted there.
    Foreign,
    /// And the owner of the place must be gone.
    ForeignInstance,
}

/// What is done outside of Hayloft.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutsideAdvice {
    CreateKey,
    FreshCredentials,
    RestrictMode {
        path: String,
    },
    SetEnvironment,
    /// A file in the directory of credentials, or a line in the unit.
    ProvideCredential,
    WriteKeyLines,
    StartAsService,
    CreateBucket,
    StartEndpoint,
    CheckFirewalls,
    CheckNetwork,
    CheckNameService,
    TrustAuthority,
    RenewCertificate,
    FindWhatChangesRequests,
    SetClock,
    MakeRoom,
    TryLater,
    RestoreObject,
    OtherProvider,
    /// Against an object lock or the like.
    AllowDeletion,
    /// The volume, writable for the user of the service.
    Mount,
    CheckDisk,
    CheckReach,
    CheckDiskOrProvider,
}

impl From<SettingAdvice> for StoreAdvice {
    fn from(advice: SettingAdvice) -> Self {
        Self::Settings(advice)
    }
}

impl From<OutsideAdvice> for StoreAdvice {
    fn from(advice: OutsideAdvice) -> Self {
        Self::Outside(advice)
    }
}

impl StoreAdvice {
    fn set(setting: StoreSetting, to: Target) -> Self {
        Self::Set(Change::new(setting, to))
    }

    fn value(setting: StoreSetting, to: &str) -> Self {
        Self::set(setting, Target::Value(to.to_owned()))
    }

    fn correct(setting: StoreSetting) -> Self {
        Self::Settings(SettingAdvice::Correct(setting))
    }

    /// What Hayloft itself can do of it.
    pub fn remedy(&self, store: &StoreName) -> Option<Remedy> {
        let store = store.clone();
        match self {
            Self::Set(change) => Some(Remedy::SetStore { store, changes: vec![change.clone()] }),
            Self::Settings(advice) => {
                let (setting, to) = advice.change();
                Some(Remedy::set_store(store, setting, to))
            }
            Self::Reconcile(_) => Some(Remedy::ReconcileStore { store }),
            Self::Allow(_) | Self::Outside(_) => None,
        }
    }
}

impl SettingAdvice {
    /// The setting that it is about first.
    fn change(&self) -> (StoreSetting, Target) {
        let setting = match self {
            Self::Region(Some(region)) => {
                return (StoreSetting::Region, Target::Value(region.clone()));
            }
            Self::Correct(setting) => *setting,
            Self::Region(None) | Self::AddressNamed => StoreSetting::Region,
            Self::HostAndPort
            | Self::Scheme(_)
            | Self::WithoutRedirect
            | Self::EndpointOfKey
            | Self::BucketOfMarker => StoreSetting::Endpoint,
            Self::PublicEndpoint => StoreSetting::PublicEndpoint,
            Self::KeyAgain => StoreSetting::AccessKeyId,
            Self::OwnerOfBucket => StoreSetting::Bucket,
        };
        (setting, Target::Chosen)
    }
}

impl StoreProblem {
    /// What helps; the first is the one to try.
    pub(super) fn advice(&self) -> Vec<StoreAdvice> {
        use OutsideAdvice as O;
        use SettingAdvice as A;
        use StoreSetting as S;
        let correct = StoreAdvice::correct;
        let path_style = || StoreAdvice::set(S::PathStyle, Target::On);
        match self {
            Self::Other(_) => vec![],
            Self::EndpointUnusable { .. } => vec![correct(S::Endpoint)],
            Self::HostUnknown { .. } => vec![correct(S::Endpoint), O::CheckNameService.into()],
            Self::BucketHostUnknown { .. } | Self::BucketHostIgnored => vec![path_style()],
            Self::NothingAnswers { .. } => vec![A::HostAndPort.into(), O::CheckFirewalls.into()],
            Self::NothingListens { .. } | Self::NotConnected { .. } => {
                vec![A::HostAndPort.into(), O::StartEndpoint.into()]
            }
            Self::NoRoute { .. } => vec![O::CheckNetwork.into(), correct(S::Endpoint)],
            Self::NotHttp { .. } | Self::TlsFailed { .. } => vec![A::HostAndPort.into()],
            Self::SpeaksTls { .. } => vec![A::Scheme("https".to_owned()).into()],
            Self::SpeaksNoTls { .. } => {
                vec![A::Scheme("http".to_owned()).into(), A::HostAndPort.into()]
            }
            Self::AuthorityUnknown { .. } | Self::CertificateNotAccepted { .. } => {
                vec![O::TrustAuthority.into()]
            }
            Self::CertificateNotValidNow { .. } => {
                vec![O::SetClock.into(), O::RenewCertificate.into()]
            }
            Self::CertificateForOtherName { .. } | Self::NotS3 { .. } => {
                vec![A::HostAndPort.into(), path_style()]
            }
            Self::RedirectsTo { .. } => vec![A::WithoutRedirect.into()],
            Self::RedirectsNowhere => vec![correct(S::Endpoint), correct(S::Region)],
            Self::RegionIs { theirs, .. } => vec![A::Region(Some(theirs.clone())).into()],
            Self::RegionIsNot { .. } => vec![A::Region(None).into()],
            Self::ReachedAt { .. } => vec![A::AddressNamed.into()],
            Self::KeyIdUnknown { .. } => {
                vec![correct(S::AccessKeyId), O::CreateKey.into(), A::EndpointOfKey.into()]
            }
            Self::SecretWrong { .. } => vec![A::KeyAgain.into(), O::FindWhatChangesRequests.into()],
            Self::KeyRefused { .. } | Self::HeaderForbidden => vec![A::KeyAgain.into()],
            Self::TokenExpired => vec![O::FreshCredentials.into()],
            Self::NoCredentials { fault, .. } => vec![fault.advice()],
            Self::Denied { permission: S3Permission::List, .. } => {
                vec![StoreAdvice::Allow(S3Permission::List), A::OwnerOfBucket.into()]
            }
            Self::Denied { permission, .. } => vec![StoreAdvice::Allow(*permission)],
            Self::NoBucket { .. } => {
                vec![O::CreateBucket.into(), correct(S::Bucket), correct(S::Endpoint)]
            }
            Self::BucketNameInvalid { .. } => vec![correct(S::Bucket)],
            Self::PrefixUnusable { .. } => vec![correct(S::Prefix)],
            Self::PresignedHostWrong => {
                vec![A::PublicEndpoint.into(), StoreAdvice::value(S::Serve, "proxy")]
            }
            Self::PresignedTypeLost => vec![StoreAdvice::value(S::Serve, "proxy")],
            Self::ConnectionBroke { .. }
            | Self::ProviderSilent { .. }
            | Self::ProviderBusy
            | Self::ProviderFault => vec![O::TryLater.into()],
            Self::ClockWrong { .. } => vec![O::SetClock.into()],
            Self::ChecksumsRefused => vec![StoreAdvice::value(S::Checksum, "readback")],
            Self::StorageClassUnknown => vec![correct(S::StorageClass)],
            Self::Archived => vec![O::RestoreObject.into(), correct(S::StorageClass)],
            Self::ProbeLate => vec![O::OtherProvider.into()],
            Self::ProbeChangedOnWay => vec![O::FindWhatChangesRequests.into()],
            Self::ProbeStays => vec![O::AllowDeletion.into()],
            Self::Disk { fault: DiskFault::Volume, .. }
            | Self::NotADirectory { .. }
            | Self::NoTemporaryDirectory { .. } => vec![O::Mount.into()],
            Self::ProviderFull | Self::Disk { fault: DiskFault::Full, .. } => {
                vec![O::MakeRoom.into()]
            }
            Self::Disk { fault: DiskFault::File, .. }
            | Self::DiskSilent { .. }
            | Self::ProbeChangedOnDisk => vec![O::CheckDisk.into()],
            Self::NoAnswer { .. } => vec![O::CheckReach.into()],
            Self::NotKept(_) => vec![O::CheckDiskOrProvider.into()],
            Self::NoMarkerInDirectory { .. } => {
                vec![O::Mount.into(), StoreAdvice::Reconcile(ReconcileAdvice::Emptied)]
            }
            Self::NoMarkerInBucket { .. } => {
                vec![A::BucketOfMarker.into(), StoreAdvice::Reconcile(ReconcileAdvice::Emptied)]
            }
            Self::MarkerUnreadable { .. } => {
                vec![StoreAdvice::Reconcile(ReconcileAdvice::WithoutMarker)]
            }
            Self::MarkerForeign { owner, .. } => vec![StoreAdvice::Reconcile(match owner {
                MarkerOwner::Instance(_) => ReconcileAdvice::ForeignInstance,
                _ => ReconcileAdvice::Foreign,
            })],
        }
    }
}

impl CredentialsFault {
    fn advice(&self) -> StoreAdvice {
        StoreAdvice::Outside(match self {
            Self::Unreadable(_) => return StoreAdvice::correct(StoreSetting::Credentials),
            Self::NotInEnvironment => OutsideAdvice::SetEnvironment,
            Self::OpenToOthers { path, .. } => OutsideAdvice::RestrictMode { path: path.clone() },
            Self::LacksLine(_) => OutsideAdvice::WriteKeyLines,
            Self::NoService => OutsideAdvice::StartAsService,
            Self::NotGiven { .. } => OutsideAdvice::ProvideCredential,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Diagnosis;

    #[test]
    fn a_diagnosis_says_how_it_is_known_and_what_hayloft_can_do() {
        let (theirs, ours) = ("eu-central-1".to_owned(), "us-east-1".to_owned());
        let problem = StoreProblem::RegionIs { theirs: theirs.clone(), ours };
        let diagnosis = Diagnosis { problem, evidence: Some("400".to_owned()) };
        assert!(diagnosis.to_string().ends_with("this store says us-east-1 (400)"), "{diagnosis}");
        let store = StoreName::new("cold").expect("a name");
        let set = Remedy::set_store(store.clone(), StoreSetting::Region, Target::Value(theirs));
        assert_eq!(diagnosis.advice()[0].remedy(&store), Some(set));
    }
}
