"""What is added to moto from outside: IoT, IAM, S3 and STS as strict as AWS, and questions put to its registries."""
