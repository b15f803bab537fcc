//! What a shown certificate says, and whom it convinces: the three verdicts, each on its own.

use std::net::IpAddr;
use std::time::Duration;

use monsys_core::time::Timestamp;
use monsys_signals::scan::cert::{
    ChainFault, ChainVerdict, NameVerdict, Observation, Obstacle, Presented,
};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::handshake::Shown;

/// Whom the hub believes.
pub(super) struct Trust<'a> {
    /// The roots.
    pub(super) roots: &'a RootCertStore,
    /// How signatures are checked.
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

/// Judges what an endpoint showed.
pub(super) fn judge(
    shown: &Shown,
    name: &ServerName<'_>,
    trust: &Trust<'_>,
    now: Timestamp,
) -> Observation {
    let read = shown.certificates.first().and_then(read_validity);
    let Some((certificate, not_before, not_after)) = read else {
        return Observation::Unseen(Obstacle::Unreadable);
    };
    let moment = Presented::chain_moment(not_before, not_after, now);
    Observation::Shown(Presented {
        not_before,
        not_after,
        issuer: certificate.tbs_certificate.issuer.to_string(),
        n_certificates: shown.certificates.len(),
        address: shown.address.ip(),
        name: name_verdict(shown, &certificate, name),
        chain: match chain_fault(shown, &certificate, trust, moment) {
            Some(fault) => ChainVerdict::Broken(fault),
            None => ChainVerdict::Trusted,
        },
    })
}

fn read_validity(
    der: &rustls::pki_types::CertificateDer<'_>,
) -> Option<(Certificate, Timestamp, Timestamp)> {
    let certificate = Certificate::from_der(der).ok()?;
    let validity = certificate.tbs_certificate.validity;
    let not_before = timestamp(validity.not_before.to_unix_duration())?;
    let not_after = timestamp(validity.not_after.to_unix_duration())?;
    Some((certificate, not_before, not_after))
}

fn timestamp(since_1970: Duration) -> Option<Timestamp> {
    let micros = i64::try_from(since_1970.as_micros()).ok()?;
    Timestamp::from_unix_micros(micros).ok()
}

fn name_verdict(shown: &Shown, certificate: &Certificate, name: &ServerName<'_>) -> NameVerdict {
    let parsed = shown.certificates.first().map(ParsedCertificate::try_from);
    let is_valid = match parsed {
        Some(Ok(parsed)) => verify_server_name(&parsed, name).is_ok(),
        Some(Err(_)) | None => false,
    };
    if is_valid {
        return NameVerdict::Matches;
    }
    NameVerdict::Differs {
        presented: presented_names(certificate),
    }
}

/// The names a certificate is for. The subject is not among them: no client reads it any more.
fn presented_names(certificate: &Certificate) -> Vec<String> {
    let found = certificate.tbs_certificate.get::<SubjectAltName>();
    let Ok(Some((_, SubjectAltName(names)))) = found else {
        return Vec::new();
    };
    names.iter().filter_map(presented_name).collect()
}

fn presented_name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
        GeneralName::IpAddress(bytes) => {
            let bytes = bytes.as_bytes();
            let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        GeneralName::OtherName(_)
        | GeneralName::Rfc822Name(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EdiPartyName(_)
        | GeneralName::UniformResourceIdentifier(_)
        | GeneralName::RegisteredId(_) => None,
    }
}

fn chain_fault(
    shown: &Shown,
    certificate: &Certificate,
    trust: &Trust<'_>,
    moment: Timestamp,
) -> Option<ChainFault> {
    let (end_entity, intermediates) = shown.certificates.split_first()?;
    let Ok(parsed) = ParsedCertificate::try_from(end_entity) else {
        return Some(ChainFault::Invalid);
    };
    if !shown.is_key_proved {
        return Some(ChainFault::KeyNotProved);
    }
    let seconds = u64::try_from(moment.unix_micros() / 1_000_000).unwrap_or(0);
    let verified = verify_server_cert_signed_by_trust_anchor(
        &parsed,
        trust.roots,
        intermediates,
        UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
        trust.algorithms.all,
    );
    let tbs = &certificate.tbs_certificate;
    match verified {
        Ok(()) => None,
        Err(_) if tbs.issuer == tbs.subject => Some(ChainFault::SelfSigned),
        Err(Error::InvalidCertificate(error)) => Some(fault_of(&error)),
        Err(_) => Some(ChainFault::Invalid),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is rare has one word")]
fn fault_of(error: &CertificateError) -> ChainFault {
    match error {
        CertificateError::UnknownIssuer => ChainFault::UnknownIssuer,
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => ChainFault::IssuerNotValid,
        CertificateError::BadSignature => ChainFault::BadSignature,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            ChainFault::WrongPurpose
        }
        _ => ChainFault::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::crypto::ring;
    use rustls::pki_types::CertificateDer;

    use super::*;

    #[test]
    fn no_broken_certificate_stops_the_judge_or_is_trusted() {
        let params = CertificateParams::new(vec!["shop.example".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let whole = params.self_signed(&key).unwrap().der().to_vec();
        let mut roots = RootCertStore::empty();
        roots.add(whole.clone().into()).unwrap();
        let trust = Trust {
            roots: &roots,
            algorithms: ring::default_provider().signature_verification_algorithms,
        };
        let name = ServerName::try_from("shop.example").unwrap();
        let judged = |der: &[u8]| {
            let shown = Shown {
                certificates: vec![CertificateDer::from(der.to_vec()); 2],
                is_key_proved: true,
                address: ([192, 0, 2, 7], 443).into(),
            };
            match judge(&shown, &name, &trust, Timestamp::MAX) {
                Observation::Shown(presented) => Some((presented.name, presented.chain)),
                Observation::Unseen(_) => None,
            }
        };
        let good = (NameVerdict::Matches, ChainVerdict::Trusted);
        assert_eq!(judged(&whole), Some(good.clone()));
        for n_bytes in 0..whole.len() {
            assert_eq!(judged(&whole[..n_bytes]), None, "{n_bytes}");
        }
        for at in 0..whole.len() {
            for flipped in [1, 0x80, 0xff] {
                let mut broken = whole.clone();
                broken[at] ^= flipped;
                assert_ne!(judged(&broken), Some(good.clone()), "{at} {flipped}");
            }
        }
    }
}
