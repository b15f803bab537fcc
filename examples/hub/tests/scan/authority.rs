//! Certificates of every kind, made for the test that needs them.

use std::path::PathBuf;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::{DataDir, now};

pub(crate) const DAY: i64 = 86_400;

/// A certificate with its key and what a server sends along.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

impl Identity {
    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone().into())
    }

    /// The same certificates, and a key that is not theirs.
    pub(crate) fn with_another_key(mut self) -> Self {
        self.key = KeyPair::generate().unwrap().serialize_der();
        self
    }

    pub(crate) fn without_intermediates(mut self) -> Self {
        self.chain.truncate(1);
        self
    }
}

/// An authority that certifies servers.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    above: Vec<CertificateDer<'static>>,
}

impl Authority {
    pub(crate) fn root(name: &str) -> Self {
        let params = authority_params(name, -3_650 * DAY, 3_650 * DAY);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap());
        Self {
            issuer: issuer.unwrap(),
            above: Vec::new(),
        }
    }

    /// An authority below this one, valid from and until so many seconds after now.
    pub(crate) fn intermediate(&self, name: &str, from: i64, until: i64) -> Self {
        let params = authority_params(name, from, until);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::signed_by(params, key, &self.issuer).unwrap();
        let above = vec![issuer.der().clone()];
        Self { issuer, above }
    }

    /// A certificate for these names, valid until so many seconds after now.
    pub(crate) fn certify(&self, names: &[&str], until: i64) -> Identity {
        self.certify_with(names, |params| hold(params, -90 * DAY, until))
    }

    pub(crate) fn certify_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let mut params = server_params(names);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let own = certificate.der().clone();
        Identity {
            chain: std::iter::once(own).chain(self.above.clone()).collect(),
            key: key.serialize_der(),
        }
    }

    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// Writes the certificate to a file, as an operator hands one over.
    pub(crate) fn file(&self, data: &DataDir) -> PathBuf {
        let path = data.path().join("ca.pem");
        std::fs::write(&path, self.issuer.pem()).unwrap();
        path
    }
}

pub(crate) fn self_signed(names: &[&str]) -> Identity {
    let key = KeyPair::generate().unwrap();
    let certificate = server_params(names).self_signed(&key).unwrap();
    Identity {
        chain: vec![certificate.der().clone()],
        key: key.serialize_der(),
    }
}

fn server_params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "a test server");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    hold(&mut params, -90 * DAY, 90 * DAY);
    params
}

fn authority_params(name: &str, from: i64, until: i64) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    hold(&mut params, from, until);
    params
}

/// Makes a certificate valid from and until so many seconds after now.
pub(crate) fn hold(params: &mut CertificateParams, from: i64, until: i64) {
    let at = |seconds: i64| {
        let since_1970 = now().unix_micros() / 1_000_000 + seconds;
        date_time_ymd(1970, 1, 1) + Duration::from_secs(since_1970.try_into().unwrap())
    };
    params.not_before = at(from);
    params.not_after = at(until);
}
