//! The lists of revoked certificates, as openssl reads them.

use std::process::Command;

use super::World;

fn openssl(args: &[&str]) -> (bool, String) {
    let ran = Command::new("openssl").args(args).output().expect("openssl is there");
    let said = [ran.stdout, ran.stderr].concat();
    (ran.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Reads a page of the gateway over HTTP, and returns its head and its body.
fn page(address: &str, path: &str) -> (String, Vec<u8>) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let body = answer.split_off(end + 4);
    (String::from_utf8(answer).unwrap().to_ascii_lowercase(), body)
}

#[test]
#[ignore = "needs openssl"]
fn programs_outside_read_who_is_revoked_from_lists_that_every_trusted_root_has_signed() {
    let world = World::start();
    let state = world.pair(&[]);
    let node = world.run(state.path(), &[]);
    node.links("mtls", 1);
    let revoked = world.certificate()["serial"].as_str().unwrap().to_ascii_uppercase();
    assert_eq!(world.gateway.verb(&["certs", "revoke", &revoked, "--yes"]).0, 0);
    node.links("mtls", 2);
    let kept = world.certificate()["serial"].as_str().unwrap().to_ascii_uppercase();
    assert_eq!(world.gateway.verb(&["certs", "rotate"]).0, 0);

    let place = super::private_dir();
    let file = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let roots = format!("{}/ca/roots.pem", world.gateway.data());
    let (code, out, err) = world.gateway.verb(&["certs", "crl", "--out", &file("all.pem")]);
    assert!(code == 0 && out.contains("names 1 revoked certificate"), "{out}{err}");
    let (_, printed, _) = world.gateway.verb(&["certs", "crl"]);
    assert_eq!(printed.matches("-----BEGIN X509 CRL-----").count(), 2, "one of each root");

    let (head, der) = page(&world.gateway.address, "/crl.der");
    assert!(
        head.contains("200 ok")
            && head.contains("content-type: application/pkix-crl")
            && head.contains("cache-control: public, max-age=60"),
        "{head}"
    );
    let (head, pem) = page(&world.gateway.address, "/crl.pem");
    assert!(head.contains("200 ok"), "{head}");
    std::fs::write(file("newest.der"), der).unwrap();
    std::fs::write(file("served.pem"), pem).unwrap();
    for (form, list) in [("DER", "newest.der"), ("PEM", "all.pem"), ("PEM", "served.pem")] {
        let list = file(list);
        let read = ["crl", "-inform", form, "-in", &list, "-noout", "-text", "-CAfile", &roots];
        let (done, said) = openssl(&read);
        assert!(done && said.contains("verify OK"), "{list}: {said}");
        assert!(said.contains(&revoked) && !said.contains(&kept), "{list}: {said}");
    }
}
