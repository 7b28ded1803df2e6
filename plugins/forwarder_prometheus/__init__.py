"""Metrics of what agents do, scraped by Prometheus or pushed to a Pushgateway."""
