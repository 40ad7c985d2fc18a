//! The forms of a new store and of a store's settings, and what they ask for.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::errors::Failure;
use super::form::Form;
use super::frame::{Frame, Section, Visit, done, render, render_as};
use super::{places, show};
use crate::api::{S3Settings, StoreChange, StoreCreate, StoreView};
use crate::app::App;
use crate::domain::{
    ByteSize, Checksum, ServeMode, SizeError, StoreName, parse_duration, parse_limit,
};
use crate::ops;

pub const SERVE: [(&str, &str); 2] = [
    ("redirect", "redirect: clients fetch from the bucket by signed URLs"),
    ("proxy", "proxy: through this server"),
];
pub const CHECKSUM: [(&str, &str); 3] = [
    ("sha256", "sha256: the provider checks a SHA-256"),
    ("readback", "readback: each object is read again"),
    ("none", "none: replicas never count as verified"),
];

#[derive(Template)]
#[template(path = "store_new.html", config = "web/askama.toml")]
struct New {
    frame: Frame,
    form: Form,
    serve: [(&'static str, &'static str); 2],
    sums: [(&'static str, &'static str); 3],
}

impl New {
    fn page(app: &App, visit: &Visit, form: Form) -> Self {
        let frame = visit.frame(app, Section::Stores, "New store");
        Self { frame, form, serve: SERVE, sums: CHECKSUM }
    }

    fn is_s3(&self) -> bool {
        self.form.get("backend") == "s3"
    }
}

/// The form of a new store: `?backend=s3`, else a local one.
pub async fn ask(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Failure> {
    let backend = if visit.get("backend") == "s3" { "s3" } else { "local" };
    let form = Form::default().with("backend", backend).ticked("instance_wide", true);
    std::future::ready(render(&New::page(&app, &visit, form))).await
}

pub async fn create(
    State(app): State<Arc<App>>,
    visit: Visit,
    mut form: Form,
) -> Result<Response, Failure> {
    if let Some(request) = request(&mut form) {
        match ops::stores::create(&app, &visit.actor, &request).await {
            Ok(made) => {
                return Ok(done(
                    &format!("{}?check=1", places::store(&made.name)),
                    "store-created",
                ));
            }
            Err(error) => form.refuse(&error),
        }
    }
    render_as(StatusCode::UNPROCESSABLE_ENTITY, &New::page(&app, &visit, form))
}

fn request(form: &mut Form) -> Option<StoreCreate> {
    let name = form.read("name", |text| StoreName::new(text));
    let soft = limit(form, "soft_max_size");
    let max = limit(form, "max_size");
    let is_s3 = form.get("backend") == "s3";
    let s3 = if is_s3 { s3(form) } else { Some(S3Settings::default()) };
    let own = |name: &str, wanted: bool| form.given(name).filter(|_| wanted).map(str::to_owned);
    Some(StoreCreate {
        name: name?,
        backend: if is_s3 { "s3" } else { "local" }.to_owned(),
        root: own("root", !is_s3),
        bucket: own("bucket", is_s3),
        prefix: own("prefix", is_s3),
        s3: s3?,
        instance_wide: Some(form.is_on("instance_wide")),
        soft_max_size: soft?,
        max_size: max?,
        adopt: form.is_on("adopt"),
    })
}

/// What a form of a store's settings asks for.
pub fn change(form: &mut Form) -> Option<StoreChange> {
    let soft = limit(form, "soft_max_size");
    let max = limit(form, "max_size");
    let settings = if form.get("backend") == "s3" { s3(form) } else { Some(S3Settings::default()) };
    let asked = StoreChange {
        s3: settings?,
        instance_wide: Some(form.is_on("instance_wide")),
        soft_max_size: Some(soft?),
        max_size: Some(max?),
    };
    Some(only_touched(form, asked))
}

/// The change without the fields that are as they were shown: what somebody else set since then is
/// not undone.
fn only_touched(form: &Form, asked: StoreChange) -> StoreChange {
    let touched = |name: &str| form.is_touched(name);
    let s3 = asked.s3;
    StoreChange {
        s3: S3Settings {
            region: s3.region.filter(|_| touched("region")),
            endpoint: s3.endpoint.filter(|_| touched("endpoint")),
            public_endpoint: s3.public_endpoint.filter(|_| touched("public_endpoint")),
            path_style: s3.path_style.filter(|_| touched("path_style")),
            storage_class: s3.storage_class.filter(|_| touched("storage_class")),
            serve: s3.serve.filter(|_| touched("serve")),
            presign_ttl: s3.presign_ttl.filter(|_| touched("presign_ttl")),
            checksum: s3.checksum.filter(|_| touched("checksum")),
            credentials: s3.credentials.filter(|_| touched("credentials")),
            ..s3
        },
        instance_wide: asked.instance_wide.filter(|_| touched("instance_wide")),
        soft_max_size: asked.soft_max_size.filter(|_| touched("soft_max_size")),
        max_size: asked.max_size.filter(|_| touched("max_size")),
    }
}

/// The settings of a store, filled in. Secrets stay out.
pub fn of(store: &StoreView) -> Form {
    let limit = |bytes: Option<u64>| bytes.map(show::exact).unwrap_or_default();
    let form = Form::default()
        .with("backend", &store.backend)
        .with("soft_max_size", limit(store.soft_max_size))
        .with("max_size", limit(store.max_size))
        .ticked("instance_wide", store.instance_wide);
    let Some(s3) = &store.s3 else { return form };
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let source = Some(&s3.credentials).filter(|source| !source.starts_with("key:"));
    form.with("region", &s3.region)
        .with("endpoint", text(&s3.endpoint))
        .with("public_endpoint", text(&s3.public_endpoint))
        .ticked("path_style", s3.path_style)
        .with("storage_class", text(&s3.storage_class))
        .with("serve", word(&SERVE, s3.serve))
        .with("presign_ttl", format!("{}s", s3.presign_ttl))
        .with("checksum", word(&CHECKSUM, s3.checksum))
        .with("credentials", source.cloned().unwrap_or_default())
}

/// The word for a setting, as JSON has it.
fn word(options: &[(&'static str, &str)], value: impl serde::Serialize) -> &'static str {
    let value = serde_json::to_value(value).unwrap_or_default();
    options.iter().map(|(word, _)| *word).find(|word| value == *word).unwrap_or(options[0].0)
}

fn chosen<T: serde::de::DeserializeOwned>(text: &str) -> Result<Option<T>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    serde_json::from_value(text.into()).map(Some).map_err(|e| e.to_string())
}

/// A limit; an empty field is none.
#[expect(clippy::option_option, reason = "a field is wrong, empty or filled in")]
fn limit(form: &mut Form, field: &'static str) -> Option<Option<u64>> {
    form.read(field, |text| {
        if text.is_empty() {
            return Ok::<_, SizeError>(None);
        }
        Ok(parse_limit(text)?.map(|ByteSize(bytes)| bytes))
    })
}

fn s3(form: &mut Form) -> Option<S3Settings> {
    let serve = form.read("serve", chosen::<ServeMode>);
    let checksum = form.read("checksum", chosen::<Checksum>);
    let ttl = form.read("presign_ttl", |text| match text {
        "" => Ok(None),
        text => {
            parse_duration(text).map(|ttl| Some(u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX)))
        }
    });
    let text = |name: &str| Some(form.get(name).to_owned());
    let secret = form.given("secret_access_key").map(str::to_owned);
    Some(S3Settings {
        region: text("region"),
        endpoint: text("endpoint"),
        public_endpoint: text("public_endpoint"),
        path_style: Some(form.is_on("path_style")),
        storage_class: text("storage_class"),
        serve: serve?,
        presign_ttl: ttl?,
        checksum: checksum?,
        access_key_id: form.given("access_key_id").map(str::to_owned),
        secret_access_key: secret,
        credentials: form.given("credentials").map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::super::form::SHOWN;
    use super::*;

    #[test]
    fn only_fields_that_were_touched_are_asked_for() {
        let filled = || {
            Form::default()
                .with("backend", "s3")
                .with("soft_max_size", "80GB")
                .with("region", "eu-1")
                .with("serve", "proxy")
                .ticked("path_style", true)
                .ticked("instance_wide", true)
        };
        let kept = filled().with(SHOWN, filled().fields());
        assert_eq!(change(&mut { kept }), Some(StoreChange::default()));

        let touched = filled().with("soft_max_size", "").with("region", "eu-2");
        let touched = touched.with("path_style", "").with(SHOWN, filled().fields());
        let s3 = S3Settings {
            region: Some("eu-2".to_owned()),
            path_style: Some(false),
            ..S3Settings::default()
        };
        let wanted = StoreChange { s3, soft_max_size: Some(None), ..StoreChange::default() };
        assert_eq!(change(&mut { touched }), Some(wanted));
        // Without a word about what was shown, everything is meant.
        let all = change(&mut filled()).expect("a change");
        assert_eq!((all.max_size, all.s3.serve), (Some(None), Some(ServeMode::Proxy)));
    }
}
