"""Services: receivers of events (MQTT, webhook), the live page, and detection over HTTP."""
