//! What the head writes into its run's journal.

use a2arun_core::ids::Rank;
use a2arun_core::plan::HostIx;
use serde_json::Value;

use crate::head::actor::Head;
use crate::head::instances::News;
use crate::registry::JournalEntry as Entry;
use crate::session::Contact;

impl Head {
    /// The job is in another state.
    pub(super) fn note_state(&self) {
        let Some(state) = self.state.shown() else { return };
        let result = self.state.result();
        let entry = Entry::job("job")
            .with("state", state.as_str())
            .with("result", result.map_or(Value::Null, |(r, _)| r.word().as_str().into()))
            .with("exit_code", result.map_or(Value::Null, |(_, code)| code.into()));
        self.io.journal.write(entry);
    }

    /// Something happened to an instance.
    pub(super) fn note_news(&self, rank: Rank, news: &News) {
        let plan = &self.job.plan;
        let report = self.instances.get(rank).and_then(|i| i.mirror.report());
        let entry = |kind| {
            let entry = Entry::instance(kind, plan, rank);
            match report {
                Some(report) => entry.incarnation(report.incarnation),
                None => entry,
            }
        };
        let entry = match news {
            News::Spawned { pid, at } => entry("spawned").at(*at).with("pid", *pid),
            News::Ready { after, at, .. } => {
                let after = after.and_then(|a| u64::try_from(a.as_millis()).ok());
                let url = self.resolved.as_ref().and_then(|r| r.url(rank));
                entry("ready").at(*at).with("after_ms", after).with("url", url)
            }
            News::Unready(why) => entry("unready").text(why),
            News::Stopping => entry("stopping"),
            News::Backoff => entry("backoff"),
            News::Exited(record) => entry("exited")
                .at(Some(record.ended))
                .with("reason", record.reason.to_string())
                .with("code", record.code)
                .with("signal", record.signal.map(|s| s.0))
                .with("detail", record.detail.clone()),
        };
        self.io.journal.write(entry);
    }

    /// A host is heard, or not.
    pub(super) fn note_contact(&self, host: HostIx, contact: Contact) {
        let kind = match contact {
            Contact::Good => "host-back",
            Contact::Suspect => "host-suspect",
            Contact::Lost => "host-lost",
        };
        self.io.journal.write(Entry::host(kind, self.job.plan.host(host).name()));
    }
}
