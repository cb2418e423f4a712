"""PHP-FPM: one pool of a master on this host."""

from drivers.php_fpm.driver import PhpFpm

__all__ = ["PhpFpm"]
