"""Who may do what: the evaluation of policy documents, for IAM and for the IoT policies of devices."""
