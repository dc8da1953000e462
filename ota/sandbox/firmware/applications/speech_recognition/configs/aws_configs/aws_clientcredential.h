/*
 * Where speech-recognition connects, and as whom.
 *
 * This is the sandbox's miniature of the firmware's own header: the same name, the same place,
 * the same defines, so that everything which reads or writes it works on the real tree too.
 */

#ifndef AWS_CLIENTCREDENTIAL_H
#define AWS_CLIENTCREDENTIAL_H

/*
 * Host name of the account's AWS IoT endpoint. "dummy.endpointid.amazonaws.com" stands here until
 * `invoke thing` has asked the account for its own.
 */
#define clientcredentialMQTT_BROKER_ENDPOINT    "dummy.endpointid.amazonaws.com"

/*
 * The thing that this device is: the name it gives as MQTT client identifier and in its topics.
 * "dummy_thingname" stands here until `invoke thing` has set it.
 */
#define clientcredentialIOT_THING_NAME               "dummy_thingname"

/* 8883 is MQTT over TLS. Another port would need other settings in the TLS handshake. */
#define clientcredentialMQTT_BROKER_PORT             8883

/* Not used over Ethernet; some libraries want them defined. */
#define clientcredentialGREENGRASS_DISCOVERY_PORT    8443
#define clientcredentialWIFI_SSID                    ""
#define clientcredentialWIFI_PASSWORD                ""
#define clientcredentialWIFI_SECURITY                eWiFiSecurityWPA2

#endif /* AWS_CLIENTCREDENTIAL_H */
