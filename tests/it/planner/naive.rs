//! SPEC 4 to 7 a second time, from its words alone: plain maps, every sum counted anew, one move at a
//! time. It shares no code with the planner and plans the same runs, or one of the two is wrong.

use std::cmp::Reverse;

use super::plain::State::{Corrupt, Deleting, Present, Unproven, Writing};
use super::plain::{Drain, File, Id, Link, Naive, Step, Store, bound};

impl Naive {
    fn links_of(&self, scope: Id) -> Vec<(Id, &Link)> {
        self.links.iter().filter(|((s, _), _)| *s == scope).map(|((_, st), l)| (*st, l)).collect()
    }

    fn drains(&self, scope: Id, store: Id) -> bool {
        self.links.get(&(scope, store)).is_some_and(|l| l.drain != Drain::No)
    }

    fn up(&self, store: Id) -> bool {
        !self.stores[&store].unavailable
    }

    /// SPEC 4: upload priority descending, null lowest; then name. Room is another question.
    pub fn upload_order(&self, scope: Id) -> Vec<Id> {
        let mut all = self.links_of(scope);
        all.retain(|(_, l)| !l.read_only && !l.write_only);
        all.sort_by_key(|(store, l)| (Reverse(l.up), *store));
        all.into_iter().map(|(store, _)| store).collect()
    }

    /// SPEC 5: download priority, then upload priority, descending, null lowest; then name.
    pub fn download_order(&self, scope: Id, file: &File) -> Vec<Id> {
        let mut all = self.links_of(scope);
        all.retain(|(store, l)| !l.write_only && file.is_in(*store));
        all.sort_by_key(|(store, l)| (Reverse(l.down), Reverse(l.up), *store));
        all.into_iter().map(|(store, _)| store).collect()
    }

    /// Under the hard limit and every soft limit concerned, reservations included. Equal fits.
    fn fits(&self, file: &File, store: Id) -> bool {
        let config = &self.stores[&store];
        let replaced = if file.at.get(&store) == Some(&Corrupt) { file.size } else { 0 };
        let coming = config.reserved + self.sum(store, |_, state| state == Writing);
        self.hard(store) - replaced + file.size <= bound(config.max)
            && self.soft(store) + coming + file.size <= bound(config.soft)
            && file.scopes.iter().all(|scope| {
                let limit = self.links.get(&(*scope, store)).and_then(|l| l.soft);
                self.soft_of(*scope, store) + file.size <= bound(limit)
            })
    }

    /// Whether a copy may arrive at all, whoever wants it.
    fn takes(&self, file: &File, store: Id) -> bool {
        self.up(store)
            && file.is_free_of(store)
            && !file.left.contains(&store)
            && self.fits(file, store)
    }

    /// Where a drain to anywhere and shedding may put the file, best first.
    fn targets(&self, scope: Id, file: &File) -> Vec<Id> {
        let mut all = self.upload_order(scope);
        all.retain(|store| {
            self.takes(file, *store)
                && !self.stores[store].proves_nothing
                && !file.scopes.iter().any(|s| self.drains(*s, *store))
        });
        all
    }

    fn source(&self, scope: Id, file: &File, target: Id) -> Option<Id> {
        let order = self.download_order(scope, file);
        order.into_iter().find(|store| *store != target && self.up(*store))
    }

    /// Whether the scope has a readable replica outside of `store` that removal may count on.
    fn keeps(&self, scope: Id, file: &File, store: Id) -> bool {
        file.at.iter().any(|(other, state)| {
            let link = self.links.get(&(scope, *other));
            *other != store
                && *state == Present
                && self.up(*other)
                && link.is_some_and(|l| !l.write_only && l.drain == Drain::No)
        })
    }

    /// The one rule for removal.
    pub fn removable(&self, file: &File, store: Id) -> bool {
        let allows = |scope: &Id| {
            let Some(link) = self.links.get(&(*scope, store)) else { return true };
            let mut others = self.links_of(*scope).into_iter().filter(|(other, _)| *other != store);
            let is_target = others.any(|(_, l)| l.drain == Drain::Into(Some(store)));
            let lacked = match link.drain {
                Drain::Into(Some(target)) => !file.is_in(target) || !self.up(target),
                Drain::Into(None) => true,
                Drain::No | Drain::Anywhere => false,
            };
            !link.populate && !is_target && !lacked && self.keeps(*scope, file, store)
        };
        let kept = file.scopes.iter().any(|scope| self.keeps(*scope, file, store));
        match file.at.get(&store) {
            // It serves nobody: a good twin is enough, unless populate is going to rewrite it.
            Some(Corrupt) => {
                let populates = |s| self.links.get(&(s, store)).is_some_and(|l| l.populate);
                kept && !file.live.iter().any(|scope| populates(*scope))
            }
            _ => kept && file.scopes.iter().all(allows),
        }
    }

    fn with(&self, file: &File, store: Id) -> File {
        let mut file = file.clone();
        let state = if self.stores[&store].proves_nothing { Unproven } else { Present };
        file.at.insert(store, state);
        file
    }

    /// Whether the rules allow the step now.
    pub fn allows(&self, step: Step) -> bool {
        let file = &self.files[&step.file];
        let readable = |source| file.is_in(source) && self.up(source);
        let after = step.to.map_or_else(|| file.clone(), |to| self.with(file, to));
        step.source.is_none_or(readable)
            && step.to.is_none_or(|to| self.takes(file, to))
            && step.leaves.is_none_or(|from| self.removable(&after, from))
    }

    pub fn apply(&mut self, step: Step) {
        let mut file = self.files[&step.file].clone();
        if let Some(to) = step.to {
            file = self.with(&file, to);
        }
        if let Some(from) = step.leaves {
            file.left.insert(from);
            file.at.remove(&from);
            if self.stores[&from].defers {
                file.at.insert(from, Deleting);
            }
        }
        self.files.insert(step.file, file);
        self.steps.push(step);
    }

    fn copy(&mut self, file: Id, source: Id, to: Id) {
        self.apply(Step { file, source: Some(source), to: Some(to), leaves: None });
    }

    fn shift(&mut self, file: Id, from: Id, to: Id) {
        self.apply(Step { file, source: None, to: Some(to), leaves: Some(from) });
    }

    fn removed(&mut self, file: Id, from: Id) -> bool {
        let may = self.removable(&self.files[&file], from);
        if may {
            self.apply(Step { file, source: None, to: None, leaves: Some(from) });
        }
        may
    }

    /// Phases 2 to 6, until they change nothing.
    pub fn run(&mut self) -> Vec<Step> {
        loop {
            let before = self.steps.len();
            let up = |(_, store): &&(Id, Id)| self.up(*store);
            let links: Vec<_> =
                self.links.keys().filter(up).map(|k| (*k, self.links[k].drain)).collect();
            let stores: Vec<_> = self.stores.keys().copied().filter(|st| self.up(*st)).collect();
            for (key, _) in links.iter().filter(|(_, drain)| *drain == Drain::No) {
                self.each_file(|naive, id| naive.populate(id, *key));
            }
            for (key, _) in links.iter().filter(|(_, drain)| matches!(drain, Drain::Into(_))) {
                self.each_file(|naive, id| naive.drain(id, *key));
            }
            for (key, _) in links.iter().filter(|(_, drain)| *drain == Drain::Anywhere) {
                self.each_file(|naive, id| naive.drain(id, *key));
            }
            for store in &stores {
                self.each_file(|naive, id| naive.clean_up(id, *store));
            }
            for ((scope, store), _) in links.iter().filter(|(_, drain)| *drain == Drain::No) {
                self.shed(*store, |naive, id| naive.shed_scope(id, *scope, *store));
            }
            for store in &stores {
                self.shed(*store, |naive, id| naive.shed_store(id, *store));
            }
            if self.steps.len() == before {
                return std::mem::take(&mut self.steps);
            }
        }
    }

    fn each_file(&mut self, mut act: impl FnMut(&mut Self, Id)) {
        for id in self.files.keys().copied().collect::<Vec<_>>() {
            act(self, id);
        }
    }

    fn shed(&mut self, store: Id, mut act: impl FnMut(&mut Self, Id)) {
        let here = self.files.iter().filter(|(_, file)| file.is_in(store));
        let mut least_used: Vec<_> = here.map(|(id, file)| (file.used, *id)).collect();
        least_used.sort_unstable();
        for (_, id) in least_used {
            act(self, id);
        }
    }

    fn populate(&mut self, id: Id, (scope, store): (Id, Id)) {
        let file = &self.files[&id];
        let wanted = self.links[&(scope, store)].populate && file.live.contains(&scope);
        let source = self.source(scope, file, store).filter(|_| wanted && self.takes(file, store));
        if let Some(source) = source {
            self.copy(id, source, store);
        }
    }

    fn drain(&mut self, id: Id, (scope, store): (Id, Id)) {
        let file = &self.files[&id].clone();
        if !file.scopes.contains(&scope) || !file.is_in(store) || self.removed(id, store) {
            return;
        }
        let open = |l: &Link| !l.read_only && !l.write_only && l.drain == Drain::No;
        let target = match self.links[&(scope, store)].drain {
            Drain::Into(target) => target
                .filter(|t| self.links.get(&(scope, *t)).is_some_and(open) && self.takes(file, *t)),
            _ if self.keeps(scope, file, store) => None,
            _ => self.targets(scope, file).first().copied(),
        };
        let source = target.and_then(|to| self.source(scope, file, to));
        let (Some(to), Some(source)) = (target, source) else { return };
        if self.removable(&self.with(file, to), store) {
            self.shift(id, store, to);
        } else {
            self.copy(id, source, to);
        }
    }

    fn clean_up(&mut self, id: Id, store: Id) {
        let file = &self.files[&id];
        let holds = |key| self.links.contains_key(&key) || self.in_grace.contains(&key);
        let residual = file.is_in(store) && !file.scopes.iter().any(|scope| holds((*scope, store)));
        if residual || file.at.get(&store) == Some(&Corrupt) {
            self.removed(id, store);
        }
    }

    fn shed_scope(&mut self, id: Id, scope: Id, store: Id) {
        let is_met = self.soft_of(scope, store) <= bound(self.links[&(scope, store)].soft);
        if is_met || !self.files[&id].scopes.contains(&scope) || self.removed(id, store) {
            return;
        }
        let file = &self.files[&id];
        let goes = |to: &Id| self.removable(&self.with(file, *to), store);
        let target = self.targets(scope, file).into_iter().find(goes);
        if let Some(to) = target.filter(|to| self.source(scope, file, *to).is_some()) {
            self.shift(id, store, to);
        }
    }

    fn shed_store(&mut self, id: Id, store: Id) {
        let Store { soft, max, .. } = self.stores[&store];
        let file = &self.files[&id];
        let is_met = self.soft(store) <= bound(soft).min(bound(max));
        let mut here = file.scopes.iter().filter(|s| self.links.contains_key(&(**s, store)));
        let drained = here.clone().count() > 0 && here.all(|s| self.drains(*s, store));
        if drained || is_met || self.removed(id, store) {
            return;
        }
        let before = self.clone();
        if self.spread(id, store).is_none() {
            *self = before;
        }
    }

    /// One copy that all can read, or one for each scope that reads the file here only; then it goes.
    fn spread(&mut self, id: Id, store: Id) -> Option<()> {
        let file = &self.files[&id];
        let mut readers: Vec<_> = file.scopes.iter().copied().collect();
        readers.retain(|s| self.links.get(&(*s, store)).is_some_and(|l| !l.write_only));
        readers.retain(|s| !self.keeps(*s, file, store));
        for scope in &readers {
            let goes = |to: &Id| self.removable(&self.with(file, *to), store);
            if let Some(to) = self.targets(*scope, file).into_iter().find(goes) {
                return self.source(*scope, file, to).map(|_| self.shift(id, store, to));
            }
        }
        for scope in readers {
            let file = &self.files[&id];
            if !self.keeps(scope, file, store) {
                let to = *self.targets(scope, file).first()?;
                self.copy(id, self.source(scope, file, to)?, to);
            }
        }
        // The last copy and the removal are one move.
        let goes = self.removable(&self.files[&id], store);
        let last = self.steps.pop().filter(|last| goes && last.file == id)?;
        self.files.get_mut(&id)?.at.remove(&last.to?);
        self.shift(id, store, last.to?);
        Some(())
    }
}
