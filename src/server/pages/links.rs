//! The editor of a link, with what a change would do, and unlinking.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::admin::Names;
use super::super::errors::Failure;
use super::effect::{self, Effect};
use super::form::Form;
use super::frame::{Frame, Section, Visit, done, render, render_as};
use super::{link_form, places, show};
use crate::api::{LinkChange, LinkView};
use crate::app::App;
use crate::domain::{Link, ScopeName, StoreName, Timestamp};
use crate::maintenance::{Freshness, PreviewRequest};
use crate::ops;
use crate::ops::links::Removal;
use crate::ops::{Force, OpError, Refusal};
use crate::words::Phrase;

/// Before the ids of the fields that unlink: the editor has a box of the same name.
const UNLINK: &str = "unlink-";
/// The value of `from` that leads back to the matrix.
const MATRIX: &str = "matrix";

/// The editor by itself: a part of the page, or in place over the matrix.
#[derive(Template)]
#[template(path = "link_form.html", config = "web/askama.toml")]
struct Editor {
    scope: ScopeName,
    store: StoreName,
    form: Form,
    drains: Vec<(String, String)>,
    /// The link as it is; none before the store is linked.
    link: Option<LinkView>,
    effect: Option<Effect>,
    now: Timestamp,
    /// The change breaks a drain and may be forced.
    may_force: bool,
    from: String,
}

#[derive(Template)]
#[template(path = "link.html", config = "web/askama.toml")]
struct LinkPage {
    frame: Frame,
    editor: Editor,
    removal: Option<Removal>,
    /// Why the store was not unlinked.
    unlink_refused: Option<Phrase>,
    unlink: Form,
}

/// The names in the address of a link.
type LinkNames = (ScopeName, StoreName);

/// A link that the address names, linked or not.
struct NamedLink {
    scope: ScopeName,
    store: StoreName,
    link: Option<Link>,
}

impl NamedLink {
    fn find(app: &App, (scope, store): LinkNames) -> Result<Self, OpError> {
        let settings = app.catalogue.settings();
        let topology = &settings.topology;
        let scope_id = ops::find_scope(topology, &scope)?.id;
        let link = topology.link(scope_id, ops::find_store(topology, &store)?.id).cloned();
        Ok(Self { scope, store, link })
    }

    fn form(&self) -> Form {
        self.link.as_ref().map_or_else(Form::default, link_form::filled)
    }

    /// What the drain field offers: the scope's other stores, and what is chosen without being one.
    fn drains(&self, app: &App, form: &Form) -> Vec<(String, String)> {
        let settings = app.catalogue.settings();
        let topology = &settings.topology;
        let scope = topology.scope(self.scope.as_str()).map(|scope| scope.id);
        let linked = scope.into_iter().flat_map(|scope| topology.links_of(scope));
        let names = linked.filter_map(|link| Some(&topology.stores.get(&link.store)?.name));
        let others: BTreeSet<&StoreName> = names.filter(|name| **name != self.store).collect();
        let targets = [link_form::target(&self.form()), link_form::target(form)];
        let mut unlinked: BTreeSet<StoreName> = targets.into_iter().flatten().collect();
        unlinked.retain(|name| !others.contains(name));
        link_form::drains(others, unlinked)
    }

    async fn editor(
        self,
        app: &Arc<App>,
        visit: &Visit,
        form: Form,
        from: &str,
    ) -> Result<Editor, OpError> {
        let Self { scope, store, link } = &self;
        let link = match link {
            Some(_) => Some(ops::links::show(app, &visit.actor, scope, store).await?),
            None => None,
        };
        Ok(Editor {
            drains: self.drains(app, &form),
            scope: self.scope,
            store: self.store,
            form,
            link,
            effect: None,
            now: app.catalogue.clock().now(),
            may_force: false,
            from: from.to_owned(),
        })
    }
}

/// Where the editor leads when it is done with.
fn back(scope: &ScopeName, from: &str) -> String {
    if from == MATRIX { "/scopes".to_owned() } else { places::scope(scope) }
}

impl Editor {
    fn action(&self) -> String {
        places::link(&self.scope, &self.store)
    }

    fn back(&self) -> String {
        back(&self.scope, &self.from)
    }

    fn is_new(&self) -> bool {
        self.link.is_none()
    }

    async fn page(self, app: &Arc<App>, visit: &Visit) -> Result<LinkPage, Failure> {
        let removal = match &self.link {
            Some(_) => {
                Some(ops::links::removal(app, &visit.actor, &self.scope, &self.store).await?)
            }
            None => None,
        };
        let title = format!("{} in {}", self.scope, self.store);
        Ok(LinkPage {
            frame: visit.frame(app, Section::Scopes, title),
            removal,
            unlink_refused: None,
            unlink: Form::default().with_ids(UNLINK),
            editor: self,
        })
    }
}

pub async fn show(
    State(app): State<Arc<App>>,
    Names(names): Names<LinkNames>,
    visit: Visit,
) -> Result<Response, Failure> {
    let editor = editor(&app, &visit, names).await?;
    render(&editor.page(&app, &visit).await?)
}

/// The editor alone, for a dialog.
pub async fn form(
    State(app): State<Arc<App>>,
    Names(names): Names<LinkNames>,
    visit: Visit,
) -> Result<Response, Failure> {
    render(&editor(&app, &visit, names).await?)
}

/// The editor as a page opens it.
async fn editor(app: &Arc<App>, visit: &Visit, names: LinkNames) -> Result<Editor, OpError> {
    let pair = NamedLink::find(app, names)?;
    let form = pair.form();
    pair.editor(app, visit, form, visit.get("from")).await
}

/// Saves the form, or shows what it would do.
pub async fn save(
    State(app): State<Arc<App>>,
    Names(names): Names<LinkNames>,
    visit: Visit,
    mut form: Form,
) -> Result<Response, Failure> {
    let pair = NamedLink::find(&app, names)?;
    let (actor, scope, store) = (&visit.actor, &pair.scope, &pair.store);
    let from = form.get("from").to_owned();
    let change = link_form::change(&mut form);
    let mut effect = None;
    let mut may_force = false;
    match &change {
        Some(change) if form.is_on("effect") => {
            let seen = ops::links::preview(&app, actor, scope, store, change).await;
            effect = Some(Effect::of(seen));
        }
        Some(change) => {
            let saved = if pair.link.is_some() {
                ops::links::edit(&app, actor, scope, store, change).await
            } else {
                ops::links::add(&app, actor, scope, store, change).await
            };
            match saved {
                Ok(_) => {
                    let key = if pair.link.is_some() { "saved" } else { "linked" };
                    return Ok(done(&back(scope, &from), key));
                }
                Err(error) => {
                    may_force = is_forcible(&error);
                    form.refuse(&error);
                }
            }
        }
        None => {}
    }
    let status = if effect.is_some() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let editor = pair.editor(&app, &visit, form, &from).await?;
    let editor = Editor { effect, may_force, ..editor };
    render_as(status, &editor.page(&app, &visit).await?)
}

fn is_forcible(error: &OpError) -> bool {
    matches!(error, OpError::Refused { kind: Refusal::DrainTargetNeeded, .. })
}

/// What the form as typed so far would do.
pub async fn effect(
    State(app): State<Arc<App>>,
    Names(names): Names<LinkNames>,
    visit: Visit,
    mut form: Form,
) -> Result<Response, Failure> {
    let effect = match link_form::change(&mut form) {
        Some(change) => effect_of(&app, &visit, names, &change).await,
        None => Effect::Refused(form.wrongs()),
    };
    effect::shown(&app, effect)
}

/// What the next run would do with the link as it is, or with a new one that has no policy.
pub async fn effect_now(
    State(app): State<Arc<App>>,
    Names(names): Names<LinkNames>,
    visit: Visit,
) -> Result<Response, Failure> {
    let effect = match NamedLink::find(&app, names.clone())?.link {
        Some(_) => {
            let wanted = PreviewRequest::Sums(Freshness::Recent);
            Effect::as_is(ops::vacuum::preview(&app, &visit.actor, wanted).await)
        }
        None => effect_of(&app, &visit, names, &LinkChange::default()).await,
    };
    effect::shown(&app, effect)
}

async fn effect_of(app: &Arc<App>, visit: &Visit, names: LinkNames, change: &LinkChange) -> Effect {
    let (scope, store) = &names;
    Effect::of(ops::links::preview(app, &visit.actor, scope, store, change).await)
}

pub async fn unlink(
    State(app): State<Arc<App>>,
    Names(names): Names<LinkNames>,
    visit: Visit,
    form: Form,
) -> Result<Response, Failure> {
    let pair = NamedLink::find(&app, names)?;
    let force = Force::from(form.is_on("force"));
    let refused = if force == Force::Yes && form.get("word") != pair.store.as_str() {
        format!("Type the name of the store, {}, to unlink it by force.", pair.store).into()
    } else {
        match ops::links::remove(&app, &visit.actor, &pair.scope, &pair.store, force).await {
            Ok(_) => return Ok(done(&places::scope(&pair.scope), "unlinked")),
            Err(error) => error.detail(),
        }
    };
    let filled = pair.form();
    let page = pair.editor(&app, &visit, filled, "").await?.page(&app, &visit).await?;
    let page = LinkPage { unlink_refused: Some(refused), unlink: form.with_ids(UNLINK), ..page };
    render_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
}
