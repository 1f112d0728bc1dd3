use serde_json::{Value, json};

use super::super::placeholder::tests::sim;
use super::*;
use crate::clock;

const NOW: u64 = 1_800_000_000;
const HOUR: Duration = Duration::from_secs(3600);

fn credential(platform: Platform, values: &Value) -> Credential {
    Credential::checked(platform.credential_type(), values.as_object().unwrap()).unwrap()
}

fn called(platform: Platform, values: &Value, client_id: &str) -> Result<Identity, PlatformError> {
    let call = Call {
        sim: &sim(None),
        client_id,
        host: &Host::Dns("hub1.azure-devices.net".into()),
        now: Ok(NOW),
        lifetime: HOUR,
    };
    identity(platform, &credential(platform, values), &call)
}

fn azure() -> Value {
    // "secret-of-the-hub" in base64.
    json!({ "sharedAccessKeyName": "device", "sharedAccessKey": "c2VjcmV0LW9mLXRoZS1odWI=" })
}

#[test]
fn pubnub_gets_the_keys_before_the_client_id_and_no_login() {
    let keys = json!({ "pubKey": "pub-c-1", "subKey": "sub-c-2" });
    let seen = called(Platform::PubNub, &keys, "meter-7").unwrap();
    assert_eq!(seen.client_id.as_str(), "pub-c-1/sub-c-2/meter-7");
    assert_eq!((seen.username, seen.password, seen.expires), (None, None, None));
}

#[test]
fn azure_gets_device_hub_and_a_signature_of_one_hour() {
    let seen = called(Platform::AzureIot, &azure(), "dev@1").unwrap();
    assert_eq!(seen.client_id.as_str(), "dev@1");
    assert_eq!(
        seen.username.as_deref(),
        Some("hub1.azure-devices.net/dev@1/?api-version=2021-04-12")
    );
    // What azure.iot.device.common.auth.sastoken of azure-iot-device 2.14.0 gives for the same.
    assert_eq!(
        seen.password.unwrap().as_str(),
        "SharedAccessSignature sr=hub1.azure-devices.net%2Fdevices%2Fdev%401&sig=UJcGTbBRudCp4FojqfIzEpL3HCfdR3MAu9fpYl%2B%2Fxi8%3D&se=1800003600&skn=device"
    );
    assert_eq!(seen.expires, Some(NOW + 3600));
}

#[test]
fn a_client_id_that_is_no_device_id_is_refused_with_what_is_one() {
    for bad in ["a/b", "温度", "a b", &"x".repeat(129)] {
        let error = called(Platform::AzureIot, &azure(), bad).unwrap_err().to_string();
        assert!(
            error.contains("is no device id of Azure IoT Hub: 1 to 128"),
            "{error}"
        );
    }
    for platform in [Platform::AzureIot, Platform::PubNub] {
        let values = match platform {
            Platform::AzureIot => azure(),
            _ => json!({ "pubKey": "p", "subKey": "s" }),
        };
        let error = called(platform, &values, "").unwrap_err();
        assert_eq!(error, PlatformError::NoClientId(platform));
    }
}

#[test]
fn what_mqtt_cannot_carry_is_refused() {
    let keys = json!({ "pubKey": "p", "subKey": "s" });
    assert!(called(Platform::PubNub, &keys, &"x".repeat(65_531)).is_ok());
    let error = called(Platform::PubNub, &keys, &"x".repeat(65_532)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the client id for PubNub would be 65536 bytes long, and MQTT allows at most 65535"
    );
}

#[test]
fn google_gets_the_path_of_the_device_in_which_the_sim_may_stand() {
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let values = json!({
        "projectId": "p1", "region": "asia-east1", "registryId": "r1", "deviceId": "sim-#{imsi}",
        "algorithm": "ES256", "privateKey": key
    });
    let seen = called(Platform::GoogleIot, &values, "whatever").unwrap();
    assert_eq!(
        seen.client_id.as_str(),
        "projects/p1/locations/asia-east1/registries/r1/devices/sim-440103000000001"
    );
    assert_eq!(seen.username.as_deref(), Some("unused"));
    assert_eq!(seen.expires, Some(NOW + 3600));
    assert_eq!(seen.password.unwrap().split('.').count(), 3);
}

#[test]
fn a_clock_that_is_behind_makes_no_token_and_hinders_no_one_without() {
    let keys = json!({ "pubKey": "p", "subKey": "s" });
    for (platform, values, made) in [
        (Platform::AzureIot, azure(), false),
        (Platform::PubNub, keys, true),
    ] {
        let call = Call {
            sim: &sim(None),
            client_id: "c",
            host: &Host::Dns("h".into()),
            now: clock::not_behind(0),
            lifetime: HOUR,
        };
        let answer = identity(platform, &credential(platform, &values), &call);
        assert_eq!(answer.is_ok(), made);
        if let Err(error) = answer {
            assert!(error.to_string().contains("system clock") && error.advice().contains("time service"));
        }
    }
}

#[test]
fn debug_shows_no_secret() {
    let seen = called(Platform::AzureIot, &azure(), "d").unwrap();
    assert!(!format!("{seen:?}").contains("SharedAccessSignature"));
    let keys = json!({ "pubKey": "pub-c-1", "subKey": "sub-c-2" });
    assert!(!format!("{:?}", called(Platform::PubNub, &keys, "d").unwrap()).contains("-c-"));
}
