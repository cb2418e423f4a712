"""RabbitMQ: one virtual host of a broker, through its management API and AMQP."""

from drivers.rabbitmq.driver import RabbitMQ

__all__ = ["RabbitMQ"]
