"""What annotation tools and cloud services export, as tagged documents."""
