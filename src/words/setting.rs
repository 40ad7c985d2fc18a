//! Settings: the option of the command line, and the field of a form.

use crate::domain::{LinkSetting, StoreSetting};

/// The option of `store create` and `store manage`.
pub fn store_option(setting: StoreSetting) -> &'static str {
    match setting {
        StoreSetting::Bucket => "--bucket",
        StoreSetting::Prefix => "--prefix",
        StoreSetting::Region => "--region",
        StoreSetting::Endpoint => "--endpoint",
        StoreSetting::PublicEndpoint => "--public-endpoint",
        StoreSetting::PathStyle => "--path-style",
        StoreSetting::StorageClass => "--storage-class",
        StoreSetting::Serve => "--serve",
        StoreSetting::PresignTtl => "--presign-ttl",
        StoreSetting::Checksum => "--checksum",
        StoreSetting::AccessKeyId => "--access-key-id",
        StoreSetting::SecretAccessKey => "--secret-access-key-file",
        StoreSetting::Credentials => "--credentials",
        StoreSetting::InstanceWide => "--instance-wide",
        StoreSetting::Adopt => "--adopt",
        StoreSetting::SoftMaxSize => "--soft-max-size",
        StoreSetting::MaxSize => "--max-size",
    }
}

/// The field on the store's page.
pub fn store_label(setting: StoreSetting) -> &'static str {
    match setting {
        StoreSetting::Bucket => "Bucket",
        StoreSetting::Prefix => "Prefix",
        StoreSetting::Region => "Region",
        StoreSetting::Endpoint => "Endpoint",
        StoreSetting::PublicEndpoint => "Public endpoint",
        StoreSetting::PathStyle => "Path style",
        StoreSetting::StorageClass => "Storage class",
        StoreSetting::Serve => "Downloads",
        StoreSetting::PresignTtl => "URLs work for",
        StoreSetting::Checksum => "Proof of a write",
        StoreSetting::AccessKeyId => "Access key id",
        StoreSetting::SecretAccessKey => "Secret access key",
        StoreSetting::Credentials => "Credentials",
        StoreSetting::InstanceWide => "Any scope may link it",
        StoreSetting::Adopt => "It is not empty: adopt what is there",
        StoreSetting::SoftMaxSize => "Soft limit",
        StoreSetting::MaxSize => "Hard limit",
    }
}

/// The option of `scope manage SCOPE edit-store STORE`.
pub fn link_option(setting: LinkSetting) -> &'static str {
    match setting {
        LinkSetting::Populate => "--populate",
        LinkSetting::Drain => "--drain",
        LinkSetting::ReadOnly => "--read-only",
        LinkSetting::WriteOnly => "--write-only",
        LinkSetting::SoftMaxSize => "--soft-max-size",
    }
}

/// The field of the editor of a link.
pub fn link_label(setting: LinkSetting) -> &'static str {
    match setting {
        LinkSetting::Populate => "Populate",
        LinkSetting::Drain => "Drain",
        LinkSetting::ReadOnly => "Read only",
        LinkSetting::WriteOnly => "Write only",
        LinkSetting::SoftMaxSize => "Soft limit",
    }
}
