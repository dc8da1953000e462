"""The MQTT broker that devices connect to: packets, sessions, topics, TLS."""
