//! Links for phones: the gateway's page with the payload of a code behind it.

use handfast_core::wire::phone_link::PAGE;
use handfast_server::admin::StatusView;
use handfast_server::public_url::GatewayUrl;
use hyper::Method;
use serde::Serialize;
use serde_json::json;

use crate::End;
use crate::client::{ask, read};
use crate::data::DataPlace;
use crate::delivery;
use crate::print::safe;

/// The page that a link opens.
pub(crate) struct LinkPage(String);

impl LinkPage {
    /// Finds the page of the running gateway: at `url`, or where companions reach the gateway.
    pub(crate) async fn find(data: &DataPlace, url: Option<&str>) -> Result<Self, End> {
        let status = ask(data, Method::GET, "/api/v1/status", None).await?;
        let StatusView { companion_url, links, .. } = read(&status)?;
        if !links {
            return Err(End::Refused(
                "this gateway serves no page for links: start it without --no-links, or leave \
                 --link out here"
                    .to_owned(),
            ));
        }
        match url.or(companion_url.as_deref()) {
            Some(url) => Self::at(url),
            None => Err(End::Refused(
                "this gateway does not know where phones reach it: name an https address with \
                 `serve --public-url`, or leave --link out"
                    .to_owned(),
            )),
        }
    }

    fn at(text: &str) -> Result<Self, End> {
        let url = GatewayUrl::parse(text, &[]).map_err(|why| End::Usage(why.to_string()))?;
        if !url.is_secure() && !url.is_loopback() {
            return Err(End::Refused(format!(
                "{} is not https: a page over plain HTTP can be replaced on the way, by one that \
                 takes the code. Serve with --tls-cert and --tls-key or --tls-own, or name an https \
                 address with `serve --public-url`; or leave --link out",
                safe(url.as_str())
            )));
        }
        let mut page = url.pair_url();
        let scheme = if url.is_secure() { "https" } else { "http" };
        let path = page.path().trim_end_matches("/pair").to_owned() + PAGE;
        page.set_path(&path);
        page.set_query(None);
        // Between these schemes every change is allowed.
        let _ = page.set_scheme(scheme);
        Ok(Self(page.to_string()))
    }

    /// Returns the link to a payload.
    pub(crate) fn of(&self, payload: &str) -> String {
        format!("{}#{payload}", self.0)
    }
}

/// Returns an answer for printing, with its link if there is one.
pub(crate) fn printed(view: &impl Serialize, link: Option<&str>) -> Result<String, End> {
    let Some(link) = link else { return delivery::printed(view) };
    let mut view = serde_json::to_value(view).map_err(End::refused)?;
    view["link"] = json!(link);
    delivery::printed(&view)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_the_page_beside_the_companions_socket() {
        for (url, link) in [
            ("wss://gateway.example", "https://gateway.example/p#x"),
            ("https://gateway.example:8443/house", "https://gateway.example:8443/house/p#x"),
            ("wss://gateway.example/pair?a=b", "https://gateway.example/p#x"),
            ("ws://127.0.0.1:8765", "http://127.0.0.1:8765/p#x"),
        ] {
            assert_eq!(LinkPage::at(url).ok().unwrap().of("x"), link);
        }
    }

    #[test]
    fn a_page_that_can_be_replaced_on_the_way_gets_no_link() {
        let refused = LinkPage::at("ws://192.168.1.10:8765").err().unwrap();
        assert!(matches!(refused, End::Refused(why) if why.contains("--tls-cert")));
    }
}
